/*
 * spy PROGRAM: watches the next process ids of its namespace, and writes the program of each that is not PROGRAM and
 * may be looked at, or traced. Says "up" first.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char path[64], program[4096];
	int last = getpid();

	setvbuf(stdout, NULL, _IONBF, 0);
	printf("up\n");
	for (;;) {
		for (int pid = last + 1; pid < last + 12; pid++) {
			snprintf(path, sizeof path, "/proc/%d/exe", pid);
			ssize_t n = readlink(path, program, sizeof program - 1);
			if (n < 0)
				continue;
			program[n] = '\0';
			if (argc > 1 && strcmp(program, argv[1]) != 0)
				printf("%s, traced: %s\n", program, ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 ? "no" : "yes");
			else
				last = pid;
		}
	}
}

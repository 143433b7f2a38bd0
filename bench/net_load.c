/*
 * net_load: traffic for bench/traffic.py.
 *   net_load serve PORT               accepts and closes; what it is sent first, it swallows to the end
 *   net_load connect HOST PORT SECONDS   connections, one after the other
 *   net_load send HOST PORT SECONDS      MiB
 * The last two print how many a second, and what processor time one took here, in microseconds: the kernel's work on
 * the way, which is done on the sender's account.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char block[1 << 20];

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die(host);
	return a;
}

static int reach(const struct sockaddr_in *to)
{
	const struct linger at_once = {.l_onoff = 1}; /* no TIME_WAIT: ports do not run out */
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to))
		die("connect");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	return fd;
}

static void serve(const char *port)
{
	const struct sockaddr_in any = address("0.0.0.0", port);
	const int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (const struct sockaddr *)&any, sizeof any) || listen(fd, 1024))
		die("listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		const int client = accept(fd, NULL, NULL);

		while (read(client, block, sizeof block) > 0)
			;
		close(client);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(argv[2]);
	if (argc != 5)
		return 2;
	const struct sockaddr_in to = address(argv[2], argv[3]);
	const double seconds = atof(argv[4]), began = now(CLOCK_MONOTONIC), worked = now(CLOCK_PROCESS_CPUTIME_ID);
	double count = 0;

	if (strcmp(argv[1], "connect") == 0) {
		for (; now(CLOCK_MONOTONIC) - began < seconds; count++)
			close(reach(&to));
	} else {
		const int fd = reach(&to);

		for (ssize_t n; now(CLOCK_MONOTONIC) - began < seconds; count += (double)n / (1 << 20))
			if ((n = write(fd, block, sizeof block)) < 0)
				die("write");
	}
	printf("%.1f %.3f\n", count / (now(CLOCK_MONOTONIC) - began),
	       (now(CLOCK_PROCESS_CPUTIME_ID) - worked) * 1e6 / count);
	return 0;
}

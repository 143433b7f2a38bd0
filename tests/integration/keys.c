/* keys NAME: does this process find a key of that name by its session? Says "found" or "none". */
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long key = argc > 1 ? syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", argv[1], 0) : -1;

	puts(key >= 0 ? "found" : "none");
}

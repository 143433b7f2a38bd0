/*
 * dns_load: asks a name server one name over and over, with so many questions open at a time, and says how many answers
 * came in a second and how long they took. Run it where the server is to be reached from.
 *
 *   dns_load SERVER NAME OPEN SECONDS     prints: answers/s p50 p99 max (microseconds) wrong
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define QUESTIONS_MAX 256
#define SAMPLES_MAX   (8u << 20)
#define PATIENCE_MS   5000

static uint32_t samples[SAMPLES_MAX];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t question(uint8_t *out, const char *name)
{
	static const uint8_t head[] = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, tail[] = {0, 0, 1, 0, 1};
	size_t n = sizeof head;

	memcpy(out, head, sizeof head);
	while (*name) {
		const size_t label = strcspn(name, ".");
		out[n++] = (uint8_t)label;
		memcpy(out + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	memcpy(out + n, tail, sizeof tail);
	return n + sizeof tail;
}

static int compare(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)};
	struct pollfd sockets[QUESTIONS_MAX];
	double sent[QUESTIONS_MAX];
	uint8_t asked[300], answer[4096];
	size_t n = 0, wrong = 0;

	if (argc != 5 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 || strlen(argv[2]) > 250)
		return 2;
	const int open = atoi(argv[3]);
	const size_t len = question(asked, argv[2]);
	if (open < 1 || open > QUESTIONS_MAX)
		return 2;
	const double begin = now(), end = begin + atof(argv[4]);
	for (int i = 0; i < open; i++) {
		sockets[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_DGRAM, 0), .events = POLLIN};
		if (connect(sockets[i].fd, (struct sockaddr *)&server, sizeof server))
			return 1;
		sent[i] = now();
		if (send(sockets[i].fd, asked, len, 0) < 0)
			return 1;
	}
	while (now() < end && n < SAMPLES_MAX - QUESTIONS_MAX) {
		if (poll(sockets, (nfds_t)open, PATIENCE_MS) <= 0)
			return fprintf(stderr, "no answer within %d ms\n", PATIENCE_MS), 1;
		for (int i = 0; i < open; i++) {
			if (!sockets[i].revents)
				continue;
			const ssize_t got = recv(sockets[i].fd, answer, sizeof answer, 0);
			const double at = now();
			wrong += got < (ssize_t)len + 16 || (answer[3] & 15) || answer[7] != 1;
			samples[n++] = (uint32_t)((at - sent[i]) * 1e6);
			sent[i] = at;
			if (send(sockets[i].fd, asked, len, 0) < 0)
				return 1;
		}
	}
	const double seconds = now() - begin;
	qsort(samples, n, sizeof *samples, compare);
	printf("%.0f %u %u %u %zu\n", (double)n / seconds, samples[n / 2], samples[n * 99 / 100], samples[n - 1],
	       wrong);
	return 0;
}

/*
 * dns_load: asks a name server one name over and over, with so many questions open at a time, and says how many answers
 * came in a second and how long they took. Run it where the server is to be reached from.
 *
 *   dns_load SERVER NAME OPEN SECONDS [RATE]     prints: answers/s p50 p99 max (microseconds) wrong late
 *   dns_load echo                                the control: a server that answers at once, whatever it is asked
 *
 * With RATE so many questions a second are asked, and each one's time counts from when it was due. `late`: the p99 of
 * what the asker itself was behind when it asked, which is in each time and none of the server's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define QUESTIONS_MAX 256
#define SAMPLES_MAX   (8u << 20)
#define PATIENCE_MS   5000

static uint32_t samples[SAMPLES_MAX], lates[SAMPLES_MAX];

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

struct load {
	struct pollfd sockets[QUESTIONS_MAX];
	double sent[QUESTIONS_MAX]; /* when the question was due; 0: the socket has none open */
	uint8_t asked[300];
	size_t len;
	int open;
	double begin, period; /* 0: the next question when the last one is answered */
	size_t due, n, wrong, asks;
};

static void ask(struct load *l, int i)
{
	const double t = now();

	l->sent[i] = l->period > 0 ? l->begin + (double)l->due++ * l->period : t;
	lates[l->asks++] = (uint32_t)((t - l->sent[i]) * 1e6);
	if (send(l->sockets[i].fd, l->asked, l->len, 0) < 0)
		exit(1);
}

static void take_answer(struct load *l, int i)
{
	uint8_t answer[4096];
	const ssize_t got = recv(l->sockets[i].fd, answer, sizeof answer, 0);

	l->wrong += got < (ssize_t)l->len + 16 || (answer[3] & 15) || answer[7] != 1;
	samples[l->n++] = (uint32_t)((now() - l->sent[i]) * 1e6);
	l->sent[i] = 0;
}

/* Those that are due go to sockets that have none open. Returns what to wait for the next one. */
static struct timespec ask_due(struct load *l)
{
	for (int i = 0; i < l->open; i++)
		if (l->sent[i] == 0 && (l->period == 0 || l->begin + (double)l->due * l->period <= now()))
			ask(l, i);
	const double wait = l->period > 0 ? l->begin + (double)l->due * l->period - now() : PATIENCE_MS / 1e3;
	return (struct timespec){.tv_sec = (time_t)wait * (wait > 0),
				 .tv_nsec = wait > 0 ? (long)((wait - (double)(time_t)wait) * 1e9) : 1000};
}

/* A question with its head turned into that of an answer, and as many bytes behind it as one address takes. */
static int echo(void)
{
	const struct sockaddr_in here = {
		.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in who;
	uint8_t packet[512];

	if (bind(fd, (const struct sockaddr *)&here, sizeof here))
		return perror("bind"), 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		socklen_t len = sizeof who;
		const ssize_t n = recvfrom(fd, packet, sizeof packet - 16, 0, (struct sockaddr *)&who, &len);

		if (n < 12)
			continue;
		packet[3] &= 0xf0;
		packet[7] = 1;
		memset(packet + n, 0, 16);
		sendto(fd, packet, (size_t)n + 16, 0, (const struct sockaddr *)&who, len);
	}
}

int main(int argc, char **argv)
{
	static struct load l;
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)};

	if (argc == 2 && strcmp(argv[1], "echo") == 0)
		return echo();
	if ((argc != 5 && argc != 6) || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 || strlen(argv[2]) > 250)
		return 2;
	l.open = atoi(argv[3]);
	l.len = question(l.asked, argv[2]);
	l.period = argc == 6 ? 1 / atof(argv[5]) : 0;
	if (l.open < 1 || l.open > QUESTIONS_MAX)
		return 2;
	prctl(PR_SET_TIMERSLACK, 1);
	for (int i = 0; i < l.open; i++) {
		l.sockets[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_DGRAM, 0), .events = POLLIN};
		if (connect(l.sockets[i].fd, (struct sockaddr *)&server, sizeof server))
			return 1;
	}
	l.begin = now();
	double heard = l.begin;
	while (now() < l.begin + atof(argv[4]) && l.n < SAMPLES_MAX - QUESTIONS_MAX) {
		const struct timespec wait = ask_due(&l);

		if (ppoll(l.sockets, (nfds_t)l.open, &wait, NULL) > 0)
			heard = now();
		else if (now() - heard > PATIENCE_MS / 1e3)
			return fprintf(stderr, "no answer within %d ms\n", PATIENCE_MS), 1;
		for (int i = 0; i < l.open; i++)
			if (l.sockets[i].revents)
				take_answer(&l, i);
	}
	const double seconds = now() - l.begin;
	qsort(samples, l.n, sizeof *samples, compare);
	qsort(lates, l.asks, sizeof *lates, compare);
	printf("%.0f %u %u %u %zu %u\n", (double)l.n / seconds, samples[l.n / 2], samples[l.n * 99 / 100],
	       samples[l.n - 1], l.wrong, lates[l.asks * 99 / 100]);
	return 0;
}

/*
 * http_load SOCKET PATH CONNECTIONS SECONDS: keep-alive GET requests over UNIX connections, each waiting for its
 * answer. Prints requests a second, and the median and 99th percentile of the latency in microseconds.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 4000000

struct client {
	int fd;
	double began;
	char answer[65536];
	size_t len;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int connect_to(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

/* Is the answer complete? Both engines give these routes a Content-Length. */
static int complete(const struct client *c)
{
	const char *end = strstr(c->answer, "\r\n\r\n"), *length = strstr(c->answer, "Content-Length: ");

	return end && length && length < end &&
	       c->len >= (size_t)(end + 4 - c->answer) + strtoul(length + 16, NULL, 10);
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static float samples[SAMPLES_MAX];
	char request[512];
	size_t n = 0;

	if (argc != 5)
		return 2;
	size_t count = (size_t)atoi(argv[3]);
	struct client *clients = calloc(count, sizeof *clients);
	struct pollfd *polls = calloc(count, sizeof *polls);
	int size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", argv[2]);
	double begin = now(), stop = begin + atof(argv[4]);
	for (size_t i = 0; i < count; i++) {
		clients[i].fd = polls[i].fd = connect_to(argv[1]);
		polls[i].events = POLLIN;
		clients[i].began = now();
		if (write(clients[i].fd, request, (size_t)size) != size)
			return 1;
	}
	while (now() < stop) {
		if (poll(polls, count, 1000) <= 0)
			return 1;
		for (size_t i = 0; i < count; i++) {
			struct client *c = &clients[i];
			if (!polls[i].revents)
				continue;
			ssize_t got = read(c->fd, c->answer + c->len, sizeof c->answer - 1 - c->len);
			if (got <= 0)
				return 1;
			c->len += (size_t)got;
			c->answer[c->len] = '\0';
			if (!complete(c))
				continue;
			if (n < SAMPLES_MAX)
				samples[n++] = (float)((now() - c->began) * 1e6);
			c->len = 0;
			c->began = now();
			if (write(c->fd, request, (size_t)size) != size)
				return 1;
		}
	}
	double took = now() - begin;
	qsort(samples, n, sizeof *samples, by_value);
	printf("%.0f %.0f %.0f\n", (double)n / took, samples[n / 2], samples[n * 99 / 100]);
	return 0;
}

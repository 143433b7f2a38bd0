/* launch for real: containers of a busybox root directory. Needs root and crun; skips without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/launch.h"

#define LAYER "1111111111111111111111111111111111111111111111111111111111111111"

static const char *const caps[] = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP",
				   "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"};
static const struct launch_runtime runtimes[] = {{.name = "crun", .path = "/usr/bin/crun", .bpf_annotation = true}};

struct room {
	char dir[64], run[96], cgroup[64];
	struct event_base *base;
	struct launch *launch;
	struct launch_config config;
};

static struct room room;

struct box { /* one container */
	char id[65];
	struct launch_run *run;
	json_t *config, *host;
	pid_t pid;
	bool failed, exited, started;
	int failed_code, netns;
	struct err error;
	struct launch_exit exit;
	int client; /* our end of what is attached; -1 for none */
};

/* ---- the scene ---- */

static void must(int r)
{
	assert_true(r >= 0);
}

static void sh(const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	assert_int_equal(system(text), 0);
}

static int setup(void **state)
{
	struct err e = {0};

	(void)state;
	if (geteuid() != 0 || access("/usr/bin/crun", X_OK) < 0)
		return 0;
	strcpy(room.dir, "/tmp/pouch-launch-XXXXXX");
	if (!mkdtemp(room.dir))
		return -1;
	snprintf(room.run, sizeof room.run, "%s/run", room.dir);
	snprintf(room.cgroup, sizeof room.cgroup, "/pouch-unit-%d", getpid());
	sh("mkdir -m 0700 %s/run %s/state %s/layers && mkdir -p %s/layers/" LAYER
	   "/bin %s/layers/" LAYER "/etc && cd %s/layers/" LAYER
	   " && mkdir -p proc sys dev tmp root && cp /bin/busybox bin/ && for a in $(/bin/busybox --list | grep -vx busybox); do "
	   "ln -sf busybox bin/$a; done && printf 'root:x:0:0::/root:/bin/sh\\napp:x:1000:1000::/:/bin/sh\\n' > etc/passwd && "
	   "printf 'root:x:0:\\napp:x:1000:\\nextra:x:2000:app,root\\nbig:x:70000:\\n' > etc/group",
	   room.dir, room.dir, room.dir, room.dir, room.dir, room.dir);
	char path[128];
	snprintf(path, sizeof path, "%s/state", room.dir);
	room.base = event_base_new();
	room.config = (struct launch_config){
		.base = room.base, .run_dir = room.run, .shim = getenv("POUCH_SHIM"), .ids_base = 400000,
		.shim_uid = 400010, .cgroup_parent = room.cgroup, .runtimes = runtimes, .nruntimes = 1,
		.capabilities = caps, .ncapabilities = ARRAY_LEN(caps), .no_new_privileges = true, .pids_limit = 512,
		.init = "/usr/bin/tini-static"};
	room.config.state_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof path, "%s/layers", room.dir);
	room.config.layers_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (launch_new(&room.config, &room.launch, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (!room.launch)
		return 0;
	launch_free(room.launch);
	event_base_free(room.base);
	close(room.config.state_dir);
	close(room.config.layers_dir);
	sh("for d in /sys/fs/cgroup/*%s /sys/fs/cgroup%s; do [ ! -d $d ] || rmdir $d || true; done", room.cgroup, room.cgroup);
	sh("rm -rf %s", room.dir);
	return 0;
}

/* ---- a container ---- */

static void on_prepared(void *arg, struct launch_run *run, int netns)
{
	struct box *b = arg;

	b->netns = netns >= 0;
	launch_go(run, NULL);
}

static void on_started(void *arg, struct launch_run *run, pid_t pid, int64_t at)
{
	struct box *b = arg;

	(void)run;
	assert_true(at > 0);
	b->started = true;
	b->pid = pid;
}

static void on_failed(void *arg, struct launch_run *run, const struct err *e, int code)
{
	struct box *b = arg;

	(void)run;
	b->failed = true;
	b->failed_code = code;
	b->error = *e;
	b->run = NULL;
}

static void on_exited(void *arg, struct launch_run *run, const struct launch_exit *x)
{
	struct box *b = arg;

	(void)run;
	b->exited = true;
	b->exit = *x;
	b->run = NULL;
}

static const struct launch_events events = {on_prepared, on_started, on_failed, on_exited};

static void turn_until(const bool *flag)
{
	time_t end = time(NULL) + 20;

	while (!*flag) {
		assert_true(time(NULL) < end);
		event_base_loop(room.base, EVLOOP_ONCE);
	}
}

static struct launch_spec spec_of(struct box *b)
{
	static const char *const layers[] = {LAYER};

	return (struct launch_spec){.id = b->id, .config = b->config, .host = b->host, .layers = layers, .nlayers = 1,
				    .ids = {1u << 20, 65536}, .join_net = -1, .join_ipc = -1, .join_pid = -1, .join_uts = -1,
				    .userns = -1};
}

static void box_open(struct box *b, const char *config, const char *host)
{
	static unsigned count;
	json_error_t je;

	*b = (struct box){.client = -1};
	snprintf(b->id, sizeof b->id, "%032x%032x", ++count, (unsigned)getpid());
	b->config = json_loads(config, 0, &je);
	b->host = json_loads(host, 0, &je);
	assert_non_null(b->config);
	assert_non_null(b->host);
}

static void box_start(struct box *b, const struct launch_spec *spec)
{
	struct err e = {0};

	if (launch_start(room.launch, spec, &events, b, &b->run, &e) < 0)
		fail_msg("%s", e.text);
}

static void box_attach(struct box *b, bool in)
{
	const struct launch_attach how = {.in = in, .out = true, .err = true, .stream = true};
	struct err e = {0};
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	b->client = pair[0];
	if (launch_attach(b->run, &how, pair[1], NULL, 0, &e) < 0)
		fail_msg("%s", e.text);
}

static void box_close(struct box *b)
{
	struct err e = {0};

	if (launch_remove(room.launch, b->id, &e) < 0)
		fail_msg("%s", e.text);
	json_decref(b->config);
	json_decref(b->host);
	fd_close(&b->client);
}

/* What the client gets until the end, without the frames' heads. */
static char *read_frames(int fd)
{
	char *all = xcalloc(1, 1 << 20);
	size_t n = 0;
	unsigned char head[8];

	while (fd_read_full(fd, head, 8, NULL) == 8) {
		size_t len = (size_t)head[4] << 24 | (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7];
		assert_true(n + len < 1 << 20);
		assert_int_equal(fd_read_full(fd, all + n, len, NULL), len);
		n += len;
	}
	return all;
}

/* Run a shell line to its end; *out is what it wrote. */
static void run_line(struct box *b, const char *line, const char *host, char **out)
{
	char config[4096];

	if (!room.launch)
		skip();
	snprintf(config, sizeof config, "{\"Cmd\":[\"sh\",\"-c\",\"%s\"]}", line);
	box_open(b, config, host);
	struct launch_spec spec = spec_of(b);
	must(launch_create(room.launch, &spec, NULL));
	box_start(b, &spec);
	box_attach(b, false);
	while (!b->failed && !b->exited)
		event_base_loop(room.base, EVLOOP_ONCE);
	if (b->failed)
		fail_msg("%s", b->error.text);
	*out = read_frames(b->client);
}

static void says(const char *line, const char *host, const char *want)
{
	struct box b;
	char *out;

	run_line(&b, line, host, &out);
	assert_string_equal(out, want);
	assert_int_equal(b.exit.code, 0);
	free(out);
	box_close(&b);
}

/* ---- tests ---- */

static void test_hello(void **state)
{
	(void)state;
	says("echo hi; id -u; cat /proc/self/uid_map | tr -s ' '", "{}", "hi\n0\n 0 1048576 65536\n");
}

static void test_exit_code(void **state)
{
	struct box b;
	char *out;

	(void)state;
	run_line(&b, "exit 7", "{}", &out);
	assert_int_equal(b.exit.code, 7);
	assert_int_equal(b.exit.signal, 0);
	assert_true(b.exit.finished_at > 0);
	free(out);
	box_close(&b);
	run_line(&b, "kill -9 $$; sleep 5", "{\"Init\":true}", &out);
	assert_int_equal(b.exit.code, 137);
	free(out);
	box_close(&b);
}

static void test_signal_and_remove(void **state)
{
	struct box b;
	struct err e = {0};

	(void)state;
	if (!room.launch)
		skip();
	box_open(&b, "{\"Cmd\":[\"sleep\",\"100\"]}", "{\"Init\":true}");
	struct launch_spec spec = spec_of(&b);
	box_start(&b, &spec);
	turn_until(&b.started);
	assert_true(b.netns);
	assert_true(b.pid > 0);
	assert_int_equal(launch_remove(room.launch, b.id, &e), -EBUSY);
	must(launch_signal(b.run, SIGTERM, &e));
	turn_until(&b.exited);
	assert_int_equal(b.exit.code, 143);
	box_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_exit_code),
		cmocka_unit_test(test_signal_and_remove),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

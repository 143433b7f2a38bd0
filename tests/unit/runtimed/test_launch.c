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

static const char *const caps[] = {"CHOWN",   "DAC_OVERRIDE", "FOWNER",	 "FSETID", "KILL",	"NET_BIND_SERVICE",
				   "SETFCAP", "SETGID",	      "SETPCAP", "SETUID", "SYS_CHROOT"};
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
	char why[200];
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

/* The program beside this test's build directory, or what POUCH_SHIM says. */
static const char *shim_path(void)
{
	static char path[4200];
	ssize_t n = readlink("/proc/self/exe", path, 4096);

	if (getenv("POUCH_SHIM") || n <= 0)
		return getenv("POUCH_SHIM");
	path[n] = '\0';
	char *at = strstr(path, "/tests/unit/");
	if (at)
		strcpy(at, "/shim");
	return path;
}

static int setup(void **state)
{
	struct err e = {0};

	(void)state;
	if (geteuid() != 0 || access("/usr/bin/crun", X_OK) < 0 || !shim_path() || access(shim_path(), X_OK) < 0)
		return 0;
	strcpy(room.dir, "/tmp/pouch-launch-XXXXXX");
	if (!mkdtemp(room.dir))
		return -1;
	snprintf(room.run, sizeof room.run, "%s/run", room.dir);
	snprintf(room.cgroup, sizeof room.cgroup, "/pouch-unit-%d", getpid());
	sh("mkdir -m 0700 %s/run %s/state %s/layers && mkdir -p %s/layers/" LAYER "/bin %s/layers/" LAYER
	   "/etc && cd %s/layers/" LAYER " && mkdir -p proc sys dev tmp root && cp /bin/busybox bin/ && for a in "
	   "$(/bin/busybox --list | grep -vx busybox); do "
	   "ln -sf busybox bin/$a; done && printf 'root:x:0:0::/root:/bin/sh\\napp:x:1000:1000::/:/bin/sh\\n' > "
	   "etc/passwd && "
	   "printf 'root:x:0:\\napp:x:1000:\\nextra:x:2000:app,root\\nbig:x:70000:\\n' > etc/group",
	   room.dir, room.dir, room.dir, room.dir, room.dir, room.dir);
	sh("echo '#include <errno.h>\n#include <stdio.h>\n#include <sys/syscall.h>\n#include <unistd.h>\nint "
	   "main(void) { "
	   "long a = syscall(SYS_bpf, 0, 0, 0), b, e = errno; b = syscall(SYS_io_pgetevents, 0, 1, 1, 0, 0, 0); printf("
	   "\"bpf %%ld io_pgetevents %%ld%%c\", a < 0 ? e : 0, b < 0 ? (long)errno : 0, 10); }' | gcc -static -O1 -x c "
	   "-o %s/layers/" LAYER "/bin/calls -",
	   room.dir);
	char path[128];
	snprintf(path, sizeof path, "%s/state", room.dir);
	room.base = event_base_new();
	room.config = (struct launch_config){.base = room.base,
					     .run_dir = room.run,
					     .shim = shim_path(),
					     .ids_base = 400000,
					     .shim_uid = 400010,
					     .cgroup_parent = room.cgroup,
					     .runtimes = runtimes,
					     .nruntimes = 1,
					     .capabilities = caps,
					     .ncapabilities = ARRAY_LEN(caps),
					     .no_new_privileges = true,
					     .pids_limit = 512,
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
	sh("for d in /sys/fs/cgroup/*%s /sys/fs/cgroup%s; do [ ! -d $d ] || rmdir $d || true; done", room.cgroup,
	   room.cgroup);
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
	/* It is the run's, which goes. */
	b->exit.error = b->why;
	snprintf(b->why, sizeof b->why, "%s", x->error);
	b->run = NULL;
}

static const struct launch_events events = {on_prepared, on_started, on_failed, on_exited};

static void turn_until(const bool *flag)
{
	time_t end = time(NULL) + 60;

	while (!*flag) {
		assert_true(time(NULL) < end);
		event_base_loop(room.base, EVLOOP_ONCE);
	}
}

static struct launch_spec spec_of(struct box *b)
{
	static const char *const layers[] = {LAYER};

	return (struct launch_spec){.id = b->id,
				    .config = b->config,
				    .host = b->host,
				    .layers = layers,
				    .nlayers = 1,
				    .ids = {1u << 20, 65536},
				    .join_net = -1,
				    .join_ipc = -1,
				    .join_pid = -1,
				    .join_uts = -1,
				    .userns = -1,
				    .join_shm = -1};
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
	box_open(&b, "{\"Cmd\":[\"sh\",\"-c\",\"trap 'exit 43' TERM; echo up; sleep 100 & wait\"]}", "{\"Init\":true}");
	struct launch_spec spec = spec_of(&b);
	char up[11];
	box_start(&b, &spec);
	box_attach(&b, false);
	turn_until(&b.started);
	assert_true(b.netns);
	assert_true(b.pid > 0);
	assert_int_equal(launch_remove(room.launch, b.id, &e), -EBUSY);
	/* Its handler is there when it has spoken. */
	assert_int_equal(fd_read_full(b.client, up, sizeof up, NULL), sizeof up);
	must(launch_signal(b.run, SIGTERM, &e));
	turn_until(&b.exited);
	assert_int_equal(b.exit.code, 43);
	box_close(&b);
}

static void test_defaults(void **state)
{
	(void)state;
	/* D-15, S-46 to S-49, S-54: read what the kernel says. */
	says("grep -E 'CapEff|CapInh|CapAmb|NoNewPrivs' /proc/self/status | tr '\\t' ' '; id -G; ls /proc/self/fd | wc "
	     "-l; "
	     "cat /proc/acpi/x 2>&1; head -c 5 /proc/keys; touch /sys/x 2>&1; cat /proc/self/oom_score_adj; ulimit -u "
	     ">/dev/null",
	     "{}",
	     "CapInh: 0000000000000000\nCapEff: 00000000800405fb\nCapAmb: 0000000000000000\nNoNewPrivs: 1\n0 2000\n4\n"
	     "cat: can't open '/proc/acpi/x': No such file or directory\ntouch: /sys/x: Read-only file system\n0\n");
}

static void test_user(void **state)
{
	struct box b;
	char *out;

	(void)state;
	if (!room.launch)
		skip();
	box_open(&b,
		 "{\"User\":\"app\",\"Cmd\":[\"sh\",\"-c\",\"id -u; id -g; id -G; grep CapEff /proc/self/status\"]}",
		 "{\"GroupAdd\":[\"5000\"]}");
	struct launch_spec spec = spec_of(&b);
	box_start(&b, &spec);
	box_attach(&b, false);
	while (!b.failed && !b.exited)
		event_base_loop(room.base, EVLOOP_ONCE);
	if (b.failed)
		fail_msg("%s", b.error.text);
	out = read_frames(b.client);
	assert_string_equal(out, "1000\n1000\n1000 2000 5000\nCapEff:\t0000000000000000\n");
	free(out);
	box_close(&b);
}

static void start_fails(const char *config, const char *want, int code)
{
	struct box b;

	if (!room.launch)
		skip();
	box_open(&b, config, "{}");
	struct launch_spec spec = spec_of(&b);
	box_start(&b, &spec);
	turn_until(&b.failed);
	if (!strstr(b.error.text, want))
		fail_msg("%s: %s", config, b.error.text);
	assert_int_equal(b.failed_code, code);
	box_close(&b);
}

static void test_failures(void **state)
{
	(void)state;
	start_fails("{\"Cmd\":[\"nosuchthing\"]}", "executable file not found in $PATH", 127);
	start_fails("{\"Cmd\":[\"/etc/passwd\"]}", "permission denied", 126);
	start_fails("{\"Cmd\":[\"/no/such\"]}", "no such file or directory", 127);
	start_fails("{\"Cmd\":[\"true\"],\"User\":\"ghost\"}", "unable to find user ghost", 128);
	start_fails("{\"Cmd\":[\"true\"],\"User\":\"4294967296\"}", "out of range", 128);
	start_fails("{\"Cmd\":[\"true\"],\"User\":\"-1\"}", "out of range", 128);
	start_fails("{\"Cmd\":[\"true\"],\"User\":\"root:big\"}", "outside the container's range", 128);
}

static void test_stdin_half_close(void **state)
{
	struct box b;

	(void)state;
	if (!room.launch)
		skip();
	box_open(&b, "{\"OpenStdin\":true,\"StdinOnce\":true,\"Cmd\":[\"cat\"]}", "{}");
	struct launch_spec spec = spec_of(&b);
	box_start(&b, &spec);
	box_attach(&b, true);
	must(fd_write_all(b.client, "hello\n", 6, NULL));
	must(shutdown(b.client, SHUT_WR));
	turn_until(&b.exited);
	char *out = read_frames(b.client);
	assert_string_equal(out, "hello\n");
	assert_int_equal(b.exit.code, 0);
	free(out);
	box_close(&b);
}

static pid_t shim_of(const char *id)
{
	char command[256];
	pid_t pid = 0;

	snprintf(command, sizeof command, "pgrep -f 'pouch-shim %s'", id);
	FILE *f = popen(command, "re");
	assert_non_null(f);
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	pclose(f);
	return pid;
}

static void test_tty(void **state)
{
	struct box b;
	struct err e = {0};
	char got[64] = "";

	(void)state;
	if (!room.launch)
		skip();
	box_open(&b, "{\"Tty\":true,\"OpenStdin\":true,\"Cmd\":[\"sh\",\"-c\",\"read x; stty size; tty\"]}",
		 "{\"ConsoleSize\":[10,20]}");
	struct launch_spec spec = spec_of(&b);
	box_start(&b, &spec);
	box_attach(&b, true);
	turn_until(&b.started);
	/* The shim finds both at once: what was asked for first is done first. */
	pid_t shim = shim_of(b.id);
	must(kill(shim, SIGSTOP));
	must(launch_resize(b.run, 33, 99, &e));
	must(fd_write_all(b.client, "go\n", 3, NULL));
	must(kill(shim, SIGCONT));
	turn_until(&b.exited);
	must((int)fd_read_full(b.client, got, sizeof got - 1, NULL));
	assert_string_equal(got, "go\r\n33 99\r\n/dev/pts/0\r\n");
	box_close(&b);
}

struct command {
	struct launch_exec *x;
	bool started, failed, ended;
	int code;
};

static void on_exec_started(void *arg, struct launch_exec *x, pid_t pid)
{
	(void)x;
	assert_true(pid > 0);
	((struct command *)arg)->started = true;
}

static void on_exec_failed(void *arg, struct launch_exec *x, const struct err *e, int code)
{
	struct command *c = arg;

	(void)x;
	(void)e;
	c->failed = true;
	c->code = code;
}

static void on_exec_ended(void *arg, struct launch_exec *x, int code)
{
	struct command *c = arg;

	(void)x;
	c->ended = true;
	c->code = code;
}

static const struct launch_exec_events exec_events = {on_exec_started, on_exec_failed, on_exec_ended};

static void begin_exec(struct box *b, const char *exec, struct command *c, int *client)
{
	static unsigned count;
	json_t *document = json_loads(exec, 0, NULL);
	char id[65];
	int pair[2];
	struct err e = {0};

	*c = (struct command){0};
	snprintf(id, sizeof id, "%032x%032x", ++count, 7u);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	*client = pair[0];
	const struct launch_exec_spec spec = {.id = id, .exec = document, .config = b->config, .host = b->host};
	if (launch_exec(b->run, &spec, pair[1], NULL, 0, &exec_events, c, &c->x, &e) < 0)
		fail_msg("%s", e.text);
	json_decref(document);
}

static void test_exec(void **state)
{
	struct box b;
	struct command c;
	struct err e = {0};
	int client;
	char *out;

	(void)state;
	if (!room.launch)
		skip();
	box_open(&b, "{\"Env\":[\"A=1\"],\"Cmd\":[\"sleep\",\"100\"]}", "{}");
	struct launch_spec spec = spec_of(&b);
	box_start(&b, &spec);
	turn_until(&b.started);
	begin_exec(&b,
		   "{\"AttachStdout\":true,\"AttachStderr\":true,\"User\":\"app\",\"Cmd\":[\"sh\",\"-c\","
		   "\"id -u; echo $A; grep -E 'CapEff|NoNewPrivs' /proc/self/status; exit 5\"]}",
		   &c, &client);
	turn_until(&c.ended);
	out = read_frames(client);
	assert_string_equal(out, "1000\n1\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n");
	assert_int_equal(c.code, 5);
	free(out);
	close(client);
	begin_exec(&b, "{\"AttachStdout\":true,\"Cmd\":[\"nosuch\"]}", &c, &client);
	turn_until(&c.failed);
	assert_int_equal(c.code, 127);
	out = read_frames(client);
	assert_non_null(strstr(out, "executable file not found"));
	free(out);
	close(client);
	/* An exec that runs ends with its container. */
	begin_exec(&b, "{\"AttachStdout\":true,\"Cmd\":[\"sleep\",\"100\"]}", &c, &client);
	turn_until(&c.started);
	must(launch_signal(b.run, SIGKILL, &e));
	turn_until(&b.exited);
	assert_true(c.ended);
	assert_int_equal(c.code, 137);
	close(client);
	box_close(&b);
}

/* Pids of the shims that are children of ours or of init, by name and container. */
/* Ended; perhaps not yet reaped by whoever inherited it. */
static bool is_dead(pid_t pid)
{
	char path[40], state = 'Z';

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *f = fopen(path, "re");
	if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'Z';
	if (f)
		fclose(f);
	return state == 'Z' || state == 'X';
}

static void test_shim_killed(void **state)
{
	struct box b;

	(void)state;
	if (!room.launch)
		skip();
	box_open(&b, "{\"Cmd\":[\"sleep\",\"100\"]}", "{}");
	struct launch_spec spec = spec_of(&b);
	box_start(&b, &spec);
	turn_until(&b.started);
	must(kill(shim_of(b.id), SIGKILL));
	turn_until(&b.exited);
	assert_int_equal(b.exit.code, 137);
	assert_true(*b.exit.error);
	assert_true(is_dead(b.pid));
	box_close(&b);
}

static void restart_room(void)
{
	struct err e = {0};

	launch_free(room.launch);
	must(launch_new(&room.config, &room.launch, &e));
}

static void test_reattach(void **state)
{
	struct box b, gone;
	struct err e = {0};

	(void)state;
	if (!room.launch)
		skip();
	box_open(&b, "{\"Cmd\":[\"sleep\",\"100\"]}", "{}");
	box_open(&gone, "{\"Cmd\":[\"sh\",\"-c\",\"read x < /dev/zero; exit 3\"],\"OpenStdin\":true}", "{}");
	json_object_set_new(gone.config, "Cmd", json_pack("[s,s,s]", "sh", "-c", "sleep 0.3; exit 3"));
	struct launch_spec spec = spec_of(&b), other = spec_of(&gone);
	box_start(&b, &spec);
	box_start(&gone, &other);
	turn_until(&b.started);
	turn_until(&gone.started);
	pid_t pid = b.pid, other_pid = gone.pid;
	b.started = false;
	launch_free(room.launch);
	/* It ends while nobody is there. */
	while (!is_dead(other_pid))
		usleep(1000);
	must(launch_new(&room.config, &room.launch, &e));
	must(launch_reattach(room.launch, &spec, &events, &b, &b.run, &e));
	must(launch_reattach(room.launch, &other, &events, &gone, &gone.run, &e));
	launch_find(room.launch);
	turn_until(&b.started);
	assert_int_equal(b.pid, pid);
	turn_until(&gone.exited);
	assert_int_equal(gone.exit.code, 3);
	must(launch_signal(b.run, SIGKILL, &e));
	turn_until(&b.exited);
	assert_int_equal(b.exit.code, 137);
	box_close(&b);
	box_close(&gone);
}

static bool known(void *arg, const char *id)
{
	return str_eq(arg, id);
}

static void test_sweep(void **state)
{
	struct box b;

	(void)state;
	if (!room.launch)
		skip();
	box_open(&b, "{\"Cmd\":[\"sleep\",\"100\"]}", "{}");
	struct launch_spec spec = spec_of(&b);
	box_start(&b, &spec);
	turn_until(&b.started);
	restart_room();
	launch_sweep(room.launch, known, (void *)(uintptr_t)spec.id);
	while (launch_leaving(room.launch, spec.id))
		must(event_base_loop(room.base, EVLOOP_ONCE));
	assert_true(is_dead(b.pid));
	assert_int_equal(faccessat(room.config.state_dir, spec.id, F_OK, 0), 0);
	launch_sweep(room.launch, known, (void *)(uintptr_t) "");
	assert_int_equal(faccessat(room.config.state_dir, spec.id, F_OK, 0), -1);
	box_close(&b);
}

static void test_bind(void **state)
{
	struct box b;
	struct err e = {0};
	char path[128], real[256];
	struct stat st;

	(void)state;
	if (!room.launch)
		skip();
	snprintf(path, sizeof path, "%s/shared", room.dir);
	must(mkdir(path, 0700));
	int fd = launch_open_source(path, false, real, sizeof real, &e);
	must(fd);
	assert_string_equal(real, path);
	box_open(&b, "{\"Cmd\":[\"sh\",\"-c\",\"echo x > /data/f; chown 1000 /data/f; touch /ro/g\"]}", "{}");
	const struct launch_mount mounts[] = {
		{.destination = "/data", .source = fd, .recursive = true, .name = path},
		{.destination = "/ro", .source = fd, .recursive = true, .read_only = true, .name = path},
	};
	struct launch_spec spec = spec_of(&b);
	spec.mounts = mounts;
	spec.nmounts = 2;
	must(launch_check(room.launch, &spec, NULL, &e));
	box_start(&b, &spec);
	turn_until(&b.exited);
	close(fd);
	assert_int_equal(b.exit.code, 1);
	snprintf(path, sizeof path, "%s/shared/f", room.dir);
	must(stat(path, &st));
	/* Ids on disk are those that the container sees. */
	assert_int_equal(st.st_uid, 1000);
	assert_int_equal(st.st_gid, 0);
	box_close(&b);
}

static void test_filter_filters(void **state)
{
	/*
	 * covers S-54: calls that the profile answers in its own way; without a filter both are EINVAL for these
	 * arguments.
	 */
	(void)state;
	says("/bin/calls", "{}", "bpf 1 io_pgetevents 1\n");
	says("/bin/calls", "{\"SecurityOpt\":[\"seccomp=unconfined\"]}", "bpf 22 io_pgetevents 22\n");
	says("/bin/calls",
	     "{\"SecurityOpt\":[\"seccomp={\\\"defaultAction\\\":\\\"SCMP_ACT_ALLOW\\\",\\\"syscalls\\\":[{"
	     "\\\"names\\\":[\\\"io_pgetevents\\\"],\\\"action\\\":\\\"SCMP_ACT_ERRNO\\\",\\\"errnoRet\\\":77}]}\"]}",
	     "bpf 22 io_pgetevents 77\n");
}

static void on_frozen(void *arg, const struct err *e)
{
	if (e)
		fail_msg("%s", e->text);
	*(bool *)arg = true;
}

/* Two at once; the one that stays counts. */
static void pauses(struct launch_run *run)
{
	struct launch_hold *first, *second;
	bool frozen[2] = {false};
	struct err e;

	must(launch_hold(run, on_frozen, &frozen[0], &first, &e));
	must(launch_hold(run, on_frozen, &frozen[1], &second, &e));
	assert_false(frozen[0] || frozen[1]);
	turn_until(&frozen[0]);
	turn_until(&frozen[1]);
	assert_false(launch_paused(run));
	launch_hold_end(first, true);
	launch_hold_end(second, false);
	assert_true(launch_paused(run));
	must(launch_unpause(run, &e));
	assert_false(launch_paused(run));
}

static void test_pause_stats_update(void **state)
{
	struct box b;
	struct err e = {0};
	json_t *stats, *host;

	(void)state;
	if (!room.launch)
		skip();
	box_open(&b, "{\"Cmd\":[\"sleep\",\"100\"]}", "{\"Memory\":67108864,\"PidsLimit\":50}");
	struct launch_spec spec = spec_of(&b);
	box_start(&b, &spec);
	turn_until(&b.started);
	pauses(b.run);
	must(launch_stats(b.run, &stats, &e));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(stats, "memory_stats"), "limit")),
			 67108864);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(stats, "pids_stats"), "limit")), 50);
	json_decref(stats);
	host = json_loads("{\"Memory\":134217728,\"PidsLimit\":0}", 0, NULL);
	if (launch_update(b.run, b.host, host, &e) < 0)
		fail_msg("%s", e.text);
	must(launch_stats(b.run, &stats, &e));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(stats, "memory_stats"), "limit")),
			 134217728);
	json_decref(stats);
	json_decref(host);
	must(launch_kill_all(b.run, &e));
	turn_until(&b.exited);
	box_close(&b);
}

static void test_host_ids(void **state)
{
	struct box b;

	(void)state;
	if (!room.launch)
		skip();
	box_open(&b,
		 "{\"Cmd\":[\"sh\",\"-c\",\"read a b c < /proc/self/uid_map; [ $c = 4294967295 ] && mount -t tmpfs x "
		 "/tmp\"]}",
		 "{\"Privileged\":true}");
	struct launch_spec spec = spec_of(&b);
	spec.ids = (struct launch_ids){0, 0};
	box_start(&b, &spec);
	while (!b.exited && !b.failed)
		event_base_loop(room.base, EVLOOP_ONCE);
	if (b.failed)
		fail_msg("%s", b.error.text);
	assert_int_equal(b.exit.code, 0);
	box_close(&b);
}

/* Texts of exactly their size: nothing behind them is read (AddressSanitizer looks). */
static void test_detach_keys(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"", true},    {"q", true},	  {"ctrl-a", true}, {"ctrl-[,x", true}, {"a,b,ctrl-_", true},
		{"qq", false}, {"ctrl-", false},  {",", false},	    {"ctrl-ab", false}, {"ctrl-!", false},
		{"ct", false}, {"ctrlxa", false}, {"x,,", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = xstrdup(rows[i].text);
		struct err e = {0};
		int r = launch_detach_keys_check(text, &e);
		if ((r == 0) != rows[i].good)
			fail_msg("\"%s\": %d", text, r);
		assert_int_equal(e.status, r < 0 ? 400 : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_exit_code),
		cmocka_unit_test(test_signal_and_remove),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_stdin_half_close),
		cmocka_unit_test(test_tty),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_shim_killed),
		cmocka_unit_test(test_reattach),
		cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_bind),
		cmocka_unit_test(test_filter_filters),
		cmocka_unit_test(test_pause_stats_update),
		cmocka_unit_test(test_host_ids),
		cmocka_unit_test(test_detach_keys),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

#include "tests/fuzz/sample.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/util.h"

/* Not listed: any letter will do. */
static const char *const texts[G_COUNT] = {
	[G_HEADERS] = "X-Sample: 1\r\n",
	[G_HEX64] = "a",
	[G_DIGEST] = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	[G_IMAGE_REF] = "docker.io/library/busybox:1",
	[G_ABS_PATH] = "/a",
	[G_BASE64] = "e30=",
	[G_TIMESTAMP] = "1600000000",
	[G_DETACH_KEYS] = "ctrl-p,ctrl-q",
	[G_CPUSET] = "0",
	[G_HOST_PORT] = "8080",
	[G_DEVICE_ACCESS] = "rwm",
	[G_PORT] = "80/tcp",
	[G_DEVICE_RULE] = "c 1:3 rwm",
	[G_IP] = "10.0.0.2",
	[G_IPV4] = "10.0.0.2",
	[G_IPV6] = "fd00::2",
	[G_CIDR] = "10.0.0.0/8",
	[G_MAC] = "02:42:ac:11:00:02",
};

const char *sample_text(enum grammar g)
{
	return texts[g] ? texts[g] : "a";
}

static int one_of(int fds[2], int keep)
{
	close(fds[!keep]);
	return fds[keep];
}

static int sample_socket(int type)
{
	int fds[2];

	return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) == 0 ? one_of(fds, 0) : -1;
}

static int sample_pipe(int end)
{
	int fds[2];

	return pipe2(fds, O_CLOEXEC) == 0 ? one_of(fds, end) : -1;
}

static int sample_listener(void)
{
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return listen(fd, 1) == 0 ? STEAL_FD(fd) : -1;
}

int sample_fd(enum fd_kind kind)
{
	switch (kind) {
	case FD_STREAM:
		return sample_socket(SOCK_STREAM);
	case FD_SEQPACKET:
		return sample_socket(SOCK_SEQPACKET);
	case FD_PIPE_READ:
	case FD_PIPE_WRITE:
		return sample_pipe(kind == FD_PIPE_WRITE);
	case FD_MEMFD:
		return fd_memfd("sample", "{}", 2, NULL);
	case FD_FILE:
		return memfd_create("sample", MFD_CLOEXEC);
	case FD_DIR:
		return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	case FD_NETNS:
		return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	case FD_USERNS:
		return open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	case FD_PIDFD:
		return (int)syscall(SYS_pidfd_open, getpid(), 0);
	case FD_PTY:
		return posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	case FD_UDP:
		return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	case FD_TCP_LISTEN:
		return sample_listener();
	case FD_KINDS:
		break;
	}
	return -1;
}

/* ---- documents ---- */

static json_t *sample_value(const struct schema_field *f, bool full);

static void add_fields(json_t *out, const struct schema_object *o, bool full)
{
	for (const struct schema_field *f = o->fields; f->name; f++) {
		bool settable = f->type != S_ANSWER && f->type != S_REFUSED;
		if (settable && (full || f->required))
			json_object_set_new(out, f->name, sample_value(f, full));
	}
	for (size_t i = 0; i < ARRAY_LEN(o->parts) && o->parts[i]; i++)
		add_fields(out, o->parts[i], full);
}

static json_t *sample_value(const struct schema_field *f, bool full)
{
	json_t *out = NULL;

	switch (f->type) {
	case S_BOOL:
		return json_true();
	case S_INT:
		return json_integer(f->min > 1 ? f->min : f->max < 1 ? (json_int_t)f->max : 1);
	case S_TEXT:
		return json_string(sample_text(f->rule));
	case S_WORDS:
		return json_string(f->words[0]);
	case S_LIST:
		return json_pack("[o]", sample_value(f->of, full));
	case S_FILTER:
		return json_pack("[s]", "a");
	case S_MAP:
		return json_pack("{s:o}", sample_text(f->rule), sample_value(f->of, full));
	case S_OBJECT:
		out = json_object();
		add_fields(out, f->object, full);
		return out;
	case S_ANY:
	case S_ANSWER:
	case S_REFUSED:
		break;
	}
	return json_object();
}

json_t *sample_document(enum schema_id id, bool full)
{
	return id == SCH_OPAQUE ? NULL : sample_value(schema_root(id), full);
}

/* ---- messages ---- */

static char *keep(struct sample *s, char *take_text)
{
	if (s->ntexts == ARRAY_LEN(s->texts))
		abort();
	s->texts[s->ntexts++] = take_text;
	return take_text;
}

/* The grammar's text, its last character repeated until it is long enough. */
static char *text_of_length(const struct ipc_field *f)
{
	const char *text = sample_text((enum grammar)f->rule);
	size_t len = strlen(text), want = len < (size_t)f->min ? (size_t)f->min : len > f->max ? f->max : len;
	char *out = xcalloc(want + 1, 1);

	for (size_t i = 0; i < want; i++)
		out[i] = text[i < len ? i : len - 1];
	return out;
}

static struct ipc_bytes sample_bytes(const struct ipc_field *f, bool full, struct sample *s)
{
	char *text = NULL;

	if (f->type == T_DOC && (enum schema_id)f->rule != SCH_OPAQUE) {
		json_t *doc = sample_document((enum schema_id)f->rule, full);
		text = json_dumps(doc, JSON_COMPACT);
		json_decref(doc);
	} else {
		text = xstrndup("bytes", f->max < 5 ? f->max : 5);
	}
	return (struct ipc_bytes){.data = keep(s, text), .len = strlen(text)};
}

static void sample_field(const struct ipc_field *f, bool full, struct sample *s)
{
	void *at = (char *)s->msg + f->offset;

	switch (f->type) {
	case T_BOOL:
		*(bool *)at = full;
		break;
	case T_U32:
		*(uint32_t *)at = f->max < 77 ? (uint32_t)f->max : 77;
		break;
	case T_U64:
		*(uint64_t *)at = f->max < 77 ? f->max : 77;
		break;
	case T_I64:
		*(int64_t *)at = f->min > 7 ? f->min : (int64_t)f->max < 7 ? (int64_t)f->max : 7;
		break;
	case T_STR:
		*(const char **)at = keep(s, text_of_length(f));
		break;
	case T_BYTES:
		*(struct ipc_bytes *)at = sample_bytes(f, full, s);
		break;
	case T_DOC:
		((struct ipc_doc *)at)->raw = sample_bytes(f, full, s);
		break;
	case T_FD:
		*(int *)at = sample_fd((enum fd_kind)f->rule);
		break;
	}
}

void sample_message(const struct ipc_message *m, bool full, struct sample *out)
{
	*out = (struct sample){.msg = xcalloc(1, m->size)};
	ipc_init(m->number, out->msg);
	for (size_t i = 0; i < m->nfields; i++)
		if (full || m->fields[i].need == REQUIRED)
			sample_field(&m->fields[i], full, out);
}

void sample_clean(const struct ipc_message *m, struct sample *s)
{
	ipc_release(m, s->msg);
	for (size_t i = 0; i < s->ntexts; i++)
		free(s->texts[i]);
	free(s->msg);
	*s = (struct sample){0};
}

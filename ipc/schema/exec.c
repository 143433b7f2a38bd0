/* POST /containers/{id}/exec and POST /exec/{id}/start. */
#include "ipc/schema/rows.h"

TEXT_ELEMENT(argument, G_BYTES, ARGUMENT_MAX);
static const struct schema_field cells = {.type = S_INT, .min = 0, .max = 65535};

static const struct schema_object schema_exec_create_object = {
	.name = "ExecCreate",
	.doc = "A program to run in a running container.",
	.fields =
		(const struct schema_field[]){
			FLAG("AttachStdin", C_PLAIN, "The client will write its standard input."),
			FLAG("AttachStdout", C_PLAIN, "The client will read its standard output."),
			FLAG("AttachStderr", C_PLAIN, "The client will read its standard error."),
			LIST("ConsoleSize", cells, C_PLAIN, "Height and width of its terminal at first.",
			     .spec = IN_DOCKER, .since = 42),
			TEXT("DetachKeys", G_DETACH_KEYS, 128, C_PLAIN, "Keys that detach a client."),
			FLAG("Tty", C_PLAIN, "Standard streams are a terminal."),
			LIST("Env", argument, C_SECRET, "Further environment as NAME=value.", .spec = IN_DOCKER,
			     .since = 25),
			LIST("Cmd", argument, C_PLAIN, "Program and arguments.", .text_too = true),
			FLAG("Privileged", C_SECURITY, "With the capabilities that the engine itself has."),
			TEXT("User", G_WORD, 256, C_PLAIN, "user[:group]; the container's when empty."),
			TEXT("WorkingDir", G_PATH, PATH_MAX_, C_PLAIN, "Working directory; the container's when empty.",
			     .spec = IN_DOCKER, .since = 35),
			FLAG("Detach", C_PLAIN, "The client will not attach; the start decides."),
			ANSWER("Container", "The path's id, which docker-py repeats here.", .spec = IN_CLIENTS),
			{0},
		},
};
ROOT_OBJECT(exec_create);

static const struct schema_object schema_exec_start_object = {
	.name = "ExecStart",
	.doc = "How to start it.",
	.fields =
		(const struct schema_field[]){
			FLAG("Detach", C_PLAIN, "Answer at once; nobody reads its output."),
			FLAG("Tty", C_PLAIN, "Standard streams are a terminal, as said at its creation."),
			LIST("ConsoleSize", cells, C_PLAIN, "Height and width of its terminal at first.",
			     .spec = IN_DOCKER, .since = 42),
			ANSWER("hijack", "dockerode's own option.", .spec = IN_CLIENTS),
			ANSWER("stdin", "dockerode's own option.", .spec = IN_CLIENTS),
			{0},
		},
};
ROOT_OBJECT(exec_start);

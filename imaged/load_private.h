/* load_private: what the files of load share: load.c makes images, load_members.c knows what is in the archive. */
#ifndef POUCH_IMAGED_LOAD_PRIVATE_H
#define POUCH_IMAGED_LOAD_PRIVATE_H

#include "imaged/draft.h"
#include "imaged/lines.h"
#include "imaged/manifest.h"

/* One load: the archive's members lie in a staged directory; images are made one after the other. */
struct load {
	struct imaged *d;
	struct ipc_request *req;
	struct lines *lines;
	bool quiet;
	struct worker_call *splitting;
	char dir_name[STAGE_NAME];
	int dir;
	json_t *files;	/* name → member */
	json_t *images; /* as manifest.json has them */
	size_t image, layer;
	struct platform platform; /* wanted; when not given, this machine's, and only an index is asked for it */
	bool platform_given;
	struct draft *draft;
	struct manifest manifest; /* of the present image; empty: it has none */
	json_t *config;
	char *text;
	size_t loaded;
};

/* A file of the archive, by its name there: {"Name","Size","Digest","File"}; NULL. */
const json_t *load_member(const struct load *x, const char *name);
/* Open or read it; 400 when it is not there or larger than `max`. */
int load_open(const struct load *x, const char *name, struct err *e);
int load_read(const struct load *x, const char *name, size_t max, char **out, size_t *len, struct err *e);

/*
 * What images there are: x->images as manifest.json of docker save has them ("Config", "Layers", "RepoTags"), with
 * "Manifest" where the archive has one that belongs to it.
 */
int load_find_images(struct load *x, struct err *e);

#endif

/*
 * check: `pouchd ctl image check`: is everything what its name says? One check at a time, one thing after the other,
 * between the requests of clients. What a repair cannot bring back (a blob whose bytes are lost) is put out of the way,
 * so that the next pull or load of the image brings it.
 */
#ifndef POUCH_IMAGED_CHECK_H
#define POUCH_IMAGED_CHECK_H

#include "imaged/records.h"

struct check {
	struct imaged *d;
	struct ipc_request *req;
	bool repair;
	json_t *blobs, *layers, *images; /* names of all that there are */
	size_t at;			 /* of all three, one behind the other */
	json_t *damaged;		 /* [{"Kind","Id","Problem","Repaired"}] */
	struct worker_call *work;
	struct image_layer layer; /* that the worker looks at */
	bool missing;		  /* its directory is */
	char fresh[32];		  /* STAGE_NAME: where it is unpacked again */
	struct event *turn;
};

/* Note something that is wrong. */
void check_found(struct check *x, const char *kind, const char *id, bool repaired, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* ---- check_records.c: what needs no worker ---- */

/* Rows that refer to nothing, files that no row names. */
int check_strays(struct check *x, struct err *e);
/* A config's or manifest's blob, by its digest. */
void check_blob(struct check *x, const char *digest);
/* An image's row and its list of layers, against its config. */
void check_image(struct check *x, const char *id);

#endif

/*
 * board: what is known of a transfer, for everybody who watches it: texts, and for each layer the last thing said. Who
 * comes later is told how it stands. The objects are those that the docker CLI draws its bars from.
 */
#ifndef POUCH_IMAGED_BOARD_H
#define POUCH_IMAGED_BOARD_H

#include "imaged/lines.h"

struct board;

struct board *board_new(void);
/* The watchers' lines are not ended. */
void board_free(struct board *b);

/* From now on `l` is told everything; borrowed until board_leave(). */
void board_join(struct board *b, struct lines *l);
void board_leave(struct board *b, struct lines *l);

/* {"status"} or {"status","id"}; said to who comes later, too. */
void board_say(struct board *b, const char *id, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A layer's state, in place of its last. */
void board_layer(struct board *b, const char *digest, const char *status);
/* The same with a bar; watchers that are slow may miss it. `total` 0: not known. */
void board_progress(struct board *b, const char *digest, const char *status, uint64_t current, uint64_t total);

/* The twelve digits by which a layer is shown; into 13 bytes, returns `out`. */
char *board_id(const char *digest, char *out);

#endif

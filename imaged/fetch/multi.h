/* multi: libcurl's transfers on the event loop. */
#ifndef POUCH_IMAGE_FETCH_MULTI_H
#define POUCH_IMAGE_FETCH_MULTI_H

#include <curl/curl.h>
#include <event2/event.h>

#include "lib/err.h"

struct multi;

int multi_new(struct event_base *base, struct multi **out, struct err *e);
void multi_free(struct multi *m);

/* `ended` is called once, from the event loop, unless multi_remove() comes before. */
int multi_add(struct multi *m, CURL *easy, void (*ended)(void *arg, CURLcode result), void *arg, struct err *e);
void multi_remove(struct multi *m, CURL *easy);

#endif

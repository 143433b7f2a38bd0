/* gather: answers that are put together from what several processes say. */
#ifndef POUCH_APID_GATHER_H
#define POUCH_APID_GATHER_H

struct exchange;

/* GET /info */
void gather_info(struct exchange *x);
/* GET /system/df */
void gather_df(struct exchange *x);
/* GET /metrics */
void gather_metrics(struct exchange *x);
/* The client has gone. */
void gather_cancel(struct exchange *x);

#endif

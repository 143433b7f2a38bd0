/* pump: the stream of a hijacked exchange whose client is no UNIX socket. */
#ifndef POUCH_APID_PUMP_H
#define POUCH_APID_PUMP_H

struct exchange;

/* The head of the hijack has gone out: from now on bytes go through x->pump. */
void pump_start(struct exchange *x);
/* There is more in the connection's input, or it has ended. */
void pump_input(struct exchange *x);
/* The client has taken all output. */
void pump_drained(struct exchange *x);
void pump_clean(struct exchange *x);

#endif

/*
 * ask: one helper asks another for something before it can answer a request. Whoever is asked answers from what it
 * knows, and asks nobody in turn: so helpers may ask each other.
 */
#ifndef POUCH_IPC_ASK_H
#define POUCH_IPC_ASK_H

#include "ipc/client.h"
#include "ipc/server.h"

/* As long as one that is away is waited for. pouchd starts the dead within a fraction of a second; one that fails again
 * and again is not worth the client's time. */
#define IPC_ASK_MS 10000

/*
 * Send `msg`, which is borrowed and may be sent twice. `then` gets the struct of the reply's type, or the request is
 * answered with the reason why there is none; neither before this has returned, nor when the client has left meanwhile.
 * On an error the request is still the caller's to answer.
 */
int ipc_ask(struct ipc_request *req, struct ipc_client *whom, uint16_t number, void *msg,
	    void (*then)(struct ipc_request *req, void *reply, void *arg), void *arg, struct err *e);

#endif

/* Every message's decoder: two bytes of number, then the message; descriptors of the kinds declared come with it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/doc.h"
#include "ipc/packet.h"
#include "tests/fuzz/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As many descriptors as the message declares, so that the decoder gets to what lies behind them. */
static size_t descriptors(const struct ipc_message *m, int *fds)
{
	size_t n = 0;

	for (size_t i = 0; i < m->nfields && n < IPC_FDS_MAX; i++)
		if (m->fields[i].type == T_FD)
			fds[n++] = sample_fd((enum fd_kind)m->fields[i].rule);
	return n;
}

static void check_again(const struct ipc_message *m, const uint8_t *data, size_t size, void *msg)
{
	static unsigned char bytes[IPC_MESSAGE_MAX];
	struct ipc_packet p = {.bytes = bytes};
	struct err e = {0};

	if (ipc_encode(m, msg, &p, &e) < 0 || p.len != size || memcmp(bytes, data, size) != 0)
		abort(); /* two forms of one message */
	ipc_packet_clean(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {0};
	int fds[IPC_FDS_MAX];

	if (size < 2 || size > IPC_MESSAGE_MAX)
		return 0;
	const struct ipc_message *m = ipc_message((uint16_t)(data[0] | data[1] << 8));
	if (!m)
		return 0;
	void *msg = xcalloc(1, m->size);
	if (ipc_decode(m, data + 2, size - 2, fds, descriptors(m, fds), msg, &e) == 0) {
		check_again(m, data + 2, size - 2, msg);
		ipc_docs_check(m, msg, &e);
		ipc_docs_release(m, msg);
		ipc_release(m, msg);
	}
	free(msg);
	return 0;
}

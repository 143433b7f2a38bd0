/* Apart from daemon.c: workers link that one, and call nobody. */
#include "ipc/client.h"
#include "lib/config.h"
#include "lib/daemon.h"

struct ipc_client *daemon_client(const struct daemon *d, enum process_id peer, unsigned max_calls)
{
	const struct ipc_client_config config = {
		.self = d->id,
		.peer = peer,
		.path = daemon_socket_path(d, peer),
		.ids_base = d->config->ids_base,
		.max_calls = max_calls,
	};

	return ipc_client_new(d->base, &config);
}

/*
 * What a container may send to its name server: the answer, when there is one, is an answer to this question, within
 * its bounds, and says itself whole or truncated; a question to be forwarded is taken apart.
 */
#include <assert.h>
#include <jansson.h>
#include <string.h>

#include "netd/dns/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char doc[] = "{\"Endpoints\": [{\"Network\": \"11\", \"NetworkName\": \"net\", \"Name\": \"web\", "
			  "\"Addresses\": [\"10.0.0.1\", \"fd00::1\"], \"Names\": [\"web\", \"a.b\"], "
			  "\"Links\": {\"db\": \"web\"}}], \"Forward\": true}";

static void check(const struct names *n, const struct name_view *v, const uint8_t *data, size_t size, bool tcp)
{
	static uint8_t room[PACKET_MAX];
	const size_t most = tcp ? PACKET_MAX : PACKET_UDP_MAX;
	struct packet_query q;
	struct packet_answer a;
	const enum answer_fate fate = answer(n, v, data, size, tcp, &q, &a, room, most);

	if (fate == ANSWER_NONE)
		return;
	assert(q.len == size && size >= PACKET_HEADER && a.len <= most);
	assert(strlen(q.name) <= PACKET_NAME_MAX);
	if (fate == ANSWER_FORWARD) {
		assert(q.end > PACKET_HEADER && q.end <= size);
		packet_finish(&a, &q, RCODE_SERVER_FAILURE);
	}
	assert(a.len <= (tcp || q.room > most ? most : q.room));
	assert(packet_id(a.bytes) == packet_id(data));
	if (q.end)
		assert(packet_answers(&q, packet_id(data), a.bytes, a.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct names *n;
	static struct name_view v;

	if (!n) {
		json_t *json = json_loads(doc, 0, NULL);

		n = names_new();
		names_enter(n, &v, json);
		json_decref(json);
	}
	if (size > PACKET_MAX)
		return 0;
	check(n, &v, data, size, true);
	if (size <= PACKET_UDP_MAX)
		check(n, &v, data, size, false);
	return 0;
}

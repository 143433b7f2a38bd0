#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"
#include "lib/policy_private.h"
#include "lib/util.h"

#define KEY_MAX	 (16u << 10)
#define KEYS_MAX 32

static const char begins[] = "-----BEGIN PUBLIC KEY-----\n", ends[] = "-----END PUBLIC KEY-----\n";

/* One key in PEM (RFC 7468), and nothing else. What is in it is for imaged to find out, which has the means. */
static bool is_pem(const char *text)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\n";

	if (!str_starts(text, begins))
		return false;
	text += strlen(begins);
	size_t body = strspn(text, base64);
	return body > 1 && text[body - 1] == '\n' && strcmp(text + body, ends) == 0;
}

static int read_key(const char *path, char **out, struct err *e)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return err_set(e, -EINVAL, "%s: %s", path, strerror(errno));
	return fd_read_file(fd, KEY_MAX, out, &len, e) < 0 ? err_prefix(e, "%s", path) : 0;
}

int policy_keys_set(struct policy_texts *keys, json_t *value, struct err *e)
{
	size_t i;
	json_t *key;

	if (!json_is_array(value) || json_array_size(value) == 0 || json_array_size(value) > KEYS_MAX)
		return err_set(e, -EINVAL, "expected a list of public keys: paths of PEM files, or their content");
	policy_texts_clean(keys);
	json_array_foreach(value, i, key) {
		AUTO_FREE char *text = NULL;
		const char *given = json_string_value(key);
		int rc = given && given[0] == '/' ? read_key(given, &text, e) : 0;
		if (rc < 0)
			return -EINVAL;
		const char *pem = text ? text : given;
		if (!pem || !is_pem(pem))
			return err_set(e, -EINVAL, "element %zu is no public key in PEM (openssl pkey -pubout)", i);
		policy_texts_add(keys, pem);
		if (text)
			json_string_set(key, text);
	}
	return 0;
}

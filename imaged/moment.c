#include "imaged/moment.h"

#include "imaged/imageconf.h"
#include "lib/times.h"

static int created_fraction(struct imaged *d, const struct image *i)
{
	json_t *config = NULL;
	int64_t ns = 0;

	if (imageconf_load(d, i->id, &config, NULL) == 0) {
		const char *text = imageconf_text(config, "created");
		if (time_parse_rfc3339(text, strlen(text), &ns) < 0)
			ns = 0;
	}
	json_decref(config);
	return (int)((ns % NS_PER_SEC + NS_PER_SEC) % NS_PER_SEC);
}

struct moment moment_created(struct imaged *d, const struct image *i)
{
	return (struct moment){true, i->created, created_fraction(d, i)};
}

int moment_until(const struct filters *f, struct moment *out, struct err *e)
{
	const char *text;
	int64_t ns = 0;

	int rc = filters_only(f, "until", &text, e);
	if (rc == 0)
		rc = time_parse(text, time_now(), &ns, e);
	*out = (struct moment){ns != 0, ns / NS_PER_SEC, (int)(ns % NS_PER_SEC)};
	return rc;
}

int moment_compare(struct imaged *d, const struct image *i, const struct moment *moment)
{
	if (i->created != moment->seconds)
		return i->created < moment->seconds ? -1 : 1;
	return created_fraction(d, i) - moment->fraction;
}

/*
 * moment: when images were made, to the nanosecond. An image's row has whole seconds (nanoseconds since 1970 do not
 * reach to the year 1, where images without a time are), its config the rest.
 */
#ifndef POUCH_IMAGED_MOMENT_H
#define POUCH_IMAGED_MOMENT_H

#include "imaged/records.h"
#include "lib/filters.h"

struct moment {
	bool set;
	int64_t seconds; /* since 1970 */
	int fraction;	 /* nanoseconds */
};

struct moment moment_created(struct imaged *d, const struct image *i);
/* Of the filter `until`, as Docker writes times and durations; not set without it. 400 for more than one. */
int moment_until(const struct filters *f, struct moment *out, struct err *e);
/* Below 0: the image was made before that moment; above: after. The config is read only for the same second. */
int moment_compare(struct imaged *d, const struct image *i, const struct moment *moment);

#endif

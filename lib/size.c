#include "lib/size.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

bool size_parse(const char *text, int64_t *out)
{
	static const char units[] = "kmgtp";
	char *end;
	double v = strtod(text, &end);
	int shift = 0;

	if (str_eq(text, "-1")) {
		*out = -1;
		return true;
	}
	/* strtod(3) knows more kinds of numbers. */
	if (!isdigit((unsigned char)text[0]) || end != text + strspn(text, "0123456789."))
		return false;
	while (*end == ' ')
		end++;
	const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
	if (unit) {
		shift = (int)(unit - units + 1) * 10;
		end++;
		if (tolower((unsigned char)*end) == 'i')
			end++;
	}
	if (tolower((unsigned char)*end) == 'b')
		end++;
	v *= (double)(1ull << shift);
	if (*end || !(v >= 1 && v < 1e18))
		return false;
	*out = (int64_t)v;
	return true;
}

#include "runtimed/names.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "lib/util.h"
#include "runtimed/links.h"

#define NAME_MAX_LEN 255

static const char *const adjectives[] = {
	"able",	  "agile",  "amber",  "ample",	"apt",	  "bold",   "brave",  "breezy", "bright", "brisk",  "calm",
	"candid", "civil",  "clear",  "clever", "cosy",	  "crisp",  "daring", "deft",	"eager",  "early",  "earnest",
	"easy",	  "exact",  "fair",   "fleet",	"fond",	  "frank",  "free",   "fresh",	"gentle", "glad",   "golden",
	"grand",  "happy",  "hardy",  "hearty", "honest", "humble", "ideal",  "jolly",	"keen",	  "kind",   "lively",
	"loyal",  "lucid",  "lucky",  "mellow", "merry",  "mild",   "modest", "neat",	"nimble", "noble",  "patient",
	"placid", "plucky", "polite", "prompt", "proud",  "quick",  "quiet",  "ready",	"robust", "serene", "sharp",
	"silent", "simple", "smart",  "smooth", "solid",  "spry",   "steady", "stoic",	"sunny",  "sure",   "swift",
	"tender", "tidy",   "trusty", "upbeat", "useful", "vivid",  "warm",   "wise",	"witty",  "zesty",
};

static const char *const nouns[] = {
	"albatross", "alpaca",	"antelope", "avocet",	"badger",   "beaver",	 "bittern", "bison",   "bobcat",
	"caracal",   "chamois", "chough",   "civet",	"condor",   "cormorant", "coypu",   "crane",   "curlew",
	"dipper",    "dolphin", "dormouse", "dunlin",	"egret",    "eider",	 "ermine",  "falcon",  "fennec",
	"ferret",    "finch",	"gannet",   "gazelle",	"gecko",    "godwit",	 "grebe",   "heron",   "hoopoe",
	"ibex",	     "jackdaw", "kestrel",  "kiwi",	"koala",    "lapwing",	 "lemur",   "linnet",  "lynx",
	"magpie",    "marmot",	"marten",   "merlin",	"mongoose", "narwhal",	 "newt",    "ocelot",  "opossum",
	"oriole",    "osprey",	"otter",    "pangolin", "pelican",  "penguin",	 "petrel",  "pika",    "pipit",
	"plover",    "puffin",	"quail",    "quokka",	"raven",    "redstart",	 "robin",   "salmon",  "seal",
	"serval",    "shrike",	"siskin",   "sparrow",	"starling", "stoat",	 "stork",   "swallow", "tapir",
	"tern",	     "thrush",	"toucan",   "turtle",	"vole",	    "wagtail",	 "walrus",  "warbler", "wombat",
};

int name_check(const char *given, const char **out, struct err *e)
{
	const char *name = given + (*given == '/');
	size_t len = strlen(name);
	bool fits = len >= 2 && len <= NAME_MAX_LEN && isalnum((unsigned char)name[0]);

	for (size_t i = 0; i < len && fits; i++)
		fits = isalnum((unsigned char)name[i]) || strchr("_.-", name[i]);
	if (!fits)
		return err_set(e, -EINVAL, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
			       given);
	*out = name;
	return 0;
}

static uint32_t random_below(uint32_t limit)
{
	uint32_t n = 0;

	(void)!getrandom(&n, sizeof n, 0);
	return n % limit;
}

char *name_generate(const struct containers *all)
{
	for (unsigned attempt = 0;; attempt++) {
		char *name = xasprintf("%s_%s", adjectives[random_below(ARRAY_LEN(adjectives))],
				       nouns[random_below(ARRAY_LEN(nouns))]);
		/* Ever more digits: ends although every plain pair is taken. */
		if (attempt > 3) {
			char *longer = xasprintf("%s%u", name, random_below(attempt * 10));
			free(name);
			name = longer;
		}
		if (!table_get(&all->by_name, name))
			return name;
		free(name);
	}
}

static bool links(const struct container *c)
{
	return json_array_size(json_object_get(c->host, "Links")) > 0;
}

void containers_add(struct containers *all, struct container *c)
{
	struct container *last = TAILQ_LAST(&all->all, containers_queue);

	/* Nearly always the newest; after a restart they come in the order of the database. */
	while (last && last->created > c->created)
		last = TAILQ_PREV(last, containers_queue, link);
	if (last)
		TAILQ_INSERT_AFTER(&all->all, last, c, link);
	else
		TAILQ_INSERT_HEAD(&all->all, c, link);
	table_put(&all->by_id, c->id, c);
	table_put(&all->by_name, c->name, c);
	all->count++;
	all->linking += links(c);
	links_touched(c);
}

void containers_remove(struct containers *all, struct container *c)
{
	TAILQ_REMOVE(&all->all, c, link);
	table_remove(&all->by_id, c->id);
	table_remove(&all->by_name, c->name);
	all->count--;
	all->linking -= links(c);
	links_touched(c);
}

void containers_rename(struct containers *all, struct container *c, char *take_name)
{
	table_remove(&all->by_name, c->name);
	free(c->name);
	c->name = take_name;
	table_put(&all->by_name, c->name, c);
	links_touched(c);
}

struct container *containers_find(const struct containers *all, const char *ref, struct err *e)
{
	const char *name = ref + (*ref == '/');
	struct container *c, *found = table_get(&all->by_id, ref);
	size_t len = strlen(ref);

	if (!found)
		found = table_get(&all->by_name, name);
	if (found)
		return found;
	if (len == 0 || len >= ID_LEN || strspn(ref, "0123456789abcdef") != len)
		goto none;
	TAILQ_FOREACH(c, &all->all, link) {
		if (strncmp(c->id, ref, len) != 0)
			continue;
		if (found) {
			err_set(e, -EINVAL, "multiple IDs found with provided prefix: %s", ref);
			return NULL;
		}
		found = c;
	}
	if (found)
		return found;
none:
	err_set(e, -ENOENT, "No such container: %s", ref);
	return NULL;
}

/* docs/man/policy.json.5: roles, bindings, and every rule and permission, from lib/policy_rules.def and the operations.
 */
#include <stdio.h>
#include <string.h>

#include "lib/policy_private.h"
#include "lib/util.h"
#include "tools/gen-docs/gen.h"

static const char head[] = ".\\\" Made from lib/policy_rules.def and the operations by \"make docs\"; do not edit.\n"
			   ".Dd November 24, 2026\n"
			   ".Dt POLICY.JSON 5\n"
			   ".Os Pouch\n"
			   ".Sh NAME\n"
			   ".Nm policy.json\n"
			   ".Nd who may do what with the Pouch container engine\n"
			   ".Sh DESCRIPTION\n"
			   ".Nm\n"
			   "is one JSON object, read from the path that the setting\n"
			   ".Ic policy\n"
			   "of\n"
			   ".Xr pouch.json 5\n"
			   "gives.\n"
			   "Without the file root and the group of the first UNIX listener have the role admin.\n"
			   "An unknown key, a wrong type, or a role, user or group that does not exist is an error "
			   "that names file, line and\n"
			   "key; at a reload the old policy then stays.\n"
			   ".Pp\n"
			   "Nobody may anything that no role allows.\n"
			   "A caller with several roles may what one of them allows.\n"
			   "The keys are:\n"
			   ".Bl -tag -width Ds\n"
			   ".It Ic roles\n"
			   "An object: name of the role to an object with\n"
			   ".Bl -tag -width Ds\n"
			   ".It Ic permissions\n"
			   "A list of permissions.\n"
			   "One that ends in * stands for all that begin so.\n"
			   ".It Ic except\n"
			   "Permissions that are taken away again.\n"
			   ".It Ic own\n"
			   "true: only objects that the caller has made can be reached with this role; those of others "
			   "do not exist for it.\n"
			   ".It Ic containers\n"
			   "What a request may ask for: \"any\", or an object with rules, see\n"
			   ".Sx RULES .\n"
			   ".El\n"
			   ".Pp\n"
			   "The roles admin (everything), operator (everything with containers that cannot reach the "
			   "host) and viewer (looks,\n"
			   "changes nothing, reads no log, file, archive or environment value) are built in.\n"
			   ".It Ic bindings\n"
			   "A list of objects that give a\n"
			   ".Ic role\n"
			   "to callers: to\n"
			   ".Ic uids\n"
			   "and\n"
			   ".Ic gids\n"
			   "(names or numbers, supplementary groups count),\n"
			   ".Ic listeners\n"
			   "(by the name in\n"
			   ".Xr pouch.json 5 ) ,\n"
			   ".Ic certificates\n"
			   "(names in the client's certificate, as CN=ops or SAN=ops.example.org, with or without a * "
			   "at the end), and to\n"
			   "processes in containers whose labels are those of\n"
			   ".Ic container-labels .\n"
			   "A listener with a role of its own in\n"
			   ".Xr pouch.json 5\n"
			   "gives its clients that role and no other, root included.\n"
			   ".It Ic apid_attested_ceiling\n"
			   "A role: callers that are known by a certificate, or come by plain TCP, may at most what it "
			   "allows, because only\n"
			   "the process that speaks TLS vouches for them.\n"
			   "The default is operator.\n"
			   ".It Ic images\n"
			   "A list of rules for everybody, of which the first that matches counts:\n"
			   ".Ic match\n"
			   "(a full name as docker.io/library/busybox:latest, with or without a * at its end), and\n"
			   ".Ic deny ,\n"
			   ".Ic require-digest\n"
			   "or\n"
			   ".Ic signed-by :\n"
			   "a list of public keys, PEM files or their content, of which one must have signed the\n"
			   "image (ECDSA, Ed25519, RSA of 2048 bits and more; signatures as cosign puts them into\n"
			   "the repository).\n"
			   "They are looked for when the image is pulled, before its layers are.\n"
			   "load, import, tag and commit give no such name to an image whose signature has not\n"
			   "been seen, and no container is made from one that was here before the rule.\n"
			   "A name by digest has an @ where the others have a colon: end the pattern before it.\n"
			   ".El\n"
			   ".Pp\n"
			   ".Ic pouchd ctl policy check\n"
			   "says whether a file is good,\n"
			   ".Ic pouchd ctl policy explain\n"
			   "what would be decided about a request and by which rule.\n";

static const char rules_head[] =
	".Sh RULES\n"
	"A role that does not have a rule has its default.\n"
	"Patterns are texts; one that ends in * stands for everything that begins so.\n"
	"A field of a request that no rule is about, and that may reach the host, is refused unless\n"
	".Ic containers\n"
	"is \"any\".\n"
	"Privileged, and PidMode and IpcMode of the host, need the rule for the host's user namespace as well.\n"
	".Bl -tag -width Ds\n";

static const char example[] = ".Sh EXAMPLES\n"
			      ".Bd -literal\n"
			      "{\n"
			      "  \"roles\": {\n"
			      "    \"ci\": {\n"
			      "      \"permissions\": [\"container.*\", \"exec.*\", \"image.pull\", \"image.list\"],\n"
			      "      \"own\": true,\n"
			      "      \"containers\": {\n"
			      "        \"binds\": [\"/srv/ci\", {\"path\": \"/usr/share/ci\", \"read-only\": true}],\n"
			      "        \"images\": [\"registry.example.org/*\"],\n"
			      "        \"max-memory\": 4294967296\n"
			      "      }\n"
			      "    }\n"
			      "  },\n"
			      "  \"bindings\": [\n"
			      "    {\"role\": \"admin\", \"uids\": [\"root\"], \"gids\": [\"pouch\"]},\n"
			      "    {\"role\": \"ci\", \"uids\": [\"gitlab-runner\"]},\n"
			      "    {\"role\": \"viewer\", \"container-labels\": {\"org.example.role\": \"proxy\"}}\n"
			      "  ]\n"
			      "}\n"
			      ".Ed\n"
			      ".Sh SEE ALSO\n"
			      ".Xr pouch.json 5 ,\n"
			      ".Xr pouchd 8 ,\n"
			      ".Xr pouchd-ctl 8\n";

static const char *const kinds[] = {
	[RULE_FLAG] = "flag",
	[RULE_PATTERNS] = "list of patterns",
	[RULE_LIMIT] = "number, -1 for no limit",
	[RULE_REACH] = "\"none\", \"own\" or \"any\"",
	[RULE_BINDS] = "list of paths, or {\"path\": ..., \"read-only\": true}",
	[RULE_PORTS] = "list of numbers and \"first-last\"",
};

static void print_rules(void)
{
	size_t n;
	const struct policy_rule_row *rows = policy_rule_rows(&n);

	fputs(rules_head, stdout);
	for (size_t i = 0; i < n; i++)
		printf(".It Ic %s\n%s\n%s; default: %s.\n", rows[i].key, rows[i].doc, kinds[rows[i].kind],
		       rows[i].def[0] ? rows[i].def : "none");
	puts(".El");
}

static void print_permissions(void)
{
	static const char *const effects[] = {
		[SAFE] = "reads", [REVEAL] = "reveals; recorded", [CHANGE] = "changes; recorded before and after"};
	size_t n;
	const struct policy_permission *rows = policy_permissions(&n);

	puts(".Sh PERMISSIONS\nOne that is not here, or a pattern that fits none, is an error.\n.Bl -tag -width Ds");
	for (size_t i = 0; i < n; i++)
		printf(".It Ic %s\n%s.\n", rows[i].name, rows[i].doc);
	const struct ipc_message *const *m = ipc_messages(&n);
	for (size_t i = 0; i < n; i++)
		if (m[i]->op)
			printf(".It Ic %s\n%s %s (%s).\n", m[i]->op->permission, m[i]->op->method, m[i]->op->pattern,
			       effects[m[i]->op->effect]);
	puts(".El");
}

void gen_policy(void)
{
	fputs(head, stdout);
	print_rules();
	print_permissions();
	fputs(example, stdout);
}

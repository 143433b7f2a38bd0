# Pages made from the tables. They lie in git, so that they can be read without a build; docs-check says when one is stale.

DOC_PAGES := protocol api schema config sysusers policy logging
DOC_FILE_config   := docs/man/pouch.json.5
DOC_FILE_sysusers := dist/sysusers.d/pouch.conf
DOC_FILE_policy   := docs/man/policy.json.5
DOC_FILE = $(or $(DOC_FILE_$(1)),docs/$(1).md)
GEN_DOCS  := $(B)/tools/gen-docs

$(GEN_DOCS): $(call objects,tools/gen-docs) $(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(EVENT)

.PHONY: docs
docs: $(GEN_DOCS)	## write the pages of docs/ that are made from the tables
	@mkdir -p docs/man
	@$(foreach p,$(DOC_PAGES),$(GEN_DOCS) $(p) > $(call DOC_FILE,$(p)) || exit 1;)

.PHONY: docs-check
docs-check: $(GEN_DOCS)	## is one of them stale?
	@$(foreach p,$(DOC_PAGES),$(GEN_DOCS) $(p) | diff -u $(call DOC_FILE,$(p)) - > $(B)/$(p).diff || \
		{ echo "$(call DOC_FILE,$(p)) is stale: make docs"; head -n 20 $(B)/$(p).diff; stale=1; };) [ -z "$$stale" ]

# Static analysis, a file at a time and again only after a change. `make lint` runs both.
#
#   clang-tidy       every file of the programs and tools: .clang-tidy
#   gcc -fanalyzer   the folders that meet bytes from outside first, or every other program is built on; the others would
#                    take `make check` three minutes more (LINT_DEEP="DIR…" adds some, `make analyze` takes all)

LINT_DIRS := $(LIB_DIRS) $(foreach p,$(PROGRAMS),$(DIRS_$(p))) tools/gen-docs tests/privilege
LINT_DEEP ?= $(LIB_DIRS) apid auditd pouchd netd/dns imaged/fetch
LINT_SRCS := $(wildcard $(addsuffix /*.c,$(LINT_DIRS)))
LINT_DEEP_SRCS := $(wildcard $(addsuffix /*.c,$(LINT_DEEP)))

# What the analyzers cannot see across files; lib/err.c defines what it is about.
lint_include = $(if $(filter lib/err.c,$(1)),,-include tools/analysis.h)
lint_flags = -std=gnu17 $(OPT) $(filter-out -Werror,$(WARN)) $(CPPFLAGS) $(CPPFLAGS_$(firstword $(subst /, ,$(1)))) \
	     -DPOUCH_VERSION='""' -DPOUCH_COMMIT='""' -DPOUCH_STAMP=0 $(call lint_include,$(1))

# What gcc 12 finds there and is not so, with the reason.
# a channel in a callback is destroyed when the outermost has returned: in_callback
LINT_OK_ipc/channel.c       := -Wno-analyzer-use-after-free
# a client in a callback is freed when the outermost has returned: busy
LINT_OK_ipc/client.c        := -Wno-analyzer-use-after-free
# what has been decoded has a message; a config that was read is one
LINT_OK_ipc/client-sync.c   := -Wno-analyzer-null-dereference
LINT_OK_pouchd/reload.c     := -Wno-analyzer-null-dereference
# room for a control message has a first one
LINT_OK_ipc/packet.c        := -Wno-analyzer-null-dereference
# the names that the getters are called with are rows
LINT_OK_lib/logopt.c        := -Wno-analyzer-null-dereference
# -errno of a failed call is negative
LINT_OK_lib/tree.c          := -Wno-analyzer-null-argument
# copied from a constant; set where it is declared
LINT_OK_lib/sandbox/calls.c := -Wno-analyzer-use-of-uninitialized-value
LINT_OK_apid/answer.c       := -Wno-analyzer-use-of-uninitialized-value

$(B)/lint/%.tidy: %.c .clang-tidy tools/analysis.h
	@mkdir -p $(@D)
	$(call QUIET,TIDY)$(CC) $(call lint_flags,$<) -M -MP -MT $@ -MF $@.d $< && \
		clang-tidy --quiet $< -- $(call lint_flags,$<) 2> $@.err || { cat $@.err; exit 1; }
	@touch $@

$(B)/lint/%.analyzed: %.c tools/analysis.h
	@mkdir -p $(@D)
	$(call QUIET,DEEP)$(CC) $(call lint_flags,$<) -fanalyzer -Werror $(LINT_OK_$<) -MMD -MP -MT $@ -MF $@.d -c -o /dev/null $<
	@touch $@

.PHONY: lint-c
lint-c: $(LINT_SRCS:%.c=$(B)/lint/%.tidy) $(LINT_DEEP_SRCS:%.c=$(B)/lint/%.analyzed)

# The long one: both analyzers on everything. They report paths that no call takes, too: to be read, not to be green.
.PHONY: analyze
analyze:	## gcc's and clang's analyzers on all sources; for reading, takes long
	-$(MAKE) --no-print-directory -k LINT_DEEP="$(LINT_DIRS)" lint-c
	-for f in $(LINT_SRCS); do clang-tidy --quiet --checks='-*,clang-analyzer-*,-clang-analyzer-security.insecureAPI.*' $$f -- \
		-std=gnu17 $(CPPFLAGS) -I/usr/include/libnl3 $(CPPFLAGS_apid) -include tools/analysis.h; done

-include $(shell find $(B)/lint -name '*.d' 2>/dev/null)

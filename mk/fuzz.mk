# Fuzz targets: libFuzzer under clang, AddressSanitizer and UndefinedBehaviorSanitizer, in a build directory of their own.
#
#   tests/fuzz/fuzz_X.c            a target; tests/fuzz/PROGRAM/fuzz_X.c one that needs a program's objects too
#   tests/fuzz/corpus/X/           inputs worth keeping: found once, run each time
#   tests/fuzz/seed.c              writes the first inputs from the tables: valid messages and documents

FUZZ         ?= 0
FUZZ_SECONDS ?= 30
FUZZ_SRCS    := $(wildcard tests/fuzz/fuzz_*.c) $(wildcard tests/fuzz/*/fuzz_*.c)
FUZZ_BINS    := $(patsubst %.c,$(B)/%,$(FUZZ_SRCS))
FUZZ_SEED    := $(B)/tests/fuzz/seed

# The sample maker serves the unit test of the codec too.
EXTRA_OBJS_test_codec := $(B)/obj/tests/fuzz/sample.o

ifneq ($(FUZZ),0)
CFLAGS += -fsanitize=fuzzer-no-link -Wno-error -w
endif

fuzz_program = $(word 3,$(subst /, ,$(1)))
fuzz_objects = $(if $(filter $(PROGRAMS),$(call fuzz_program,$(1))),$(filter-out %/main.o,$(call objects,$(DIRS_$(call fuzz_program,$(1))))))

$(FUZZ_BINS): $(B)/tests/fuzz/%: $(B)/obj/tests/fuzz/%.o $(B)/obj/tests/fuzz/sample.o $$(call fuzz_objects,tests/fuzz/$$*) $$(EXTRA_OBJS_$$(call fuzz_program,tests/fuzz/$$*)) $$(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o %.a,$^) $(LIBS_$(call fuzz_program,tests/fuzz/$*)) $(EVENT) -lseccomp -lsqlite3 -lcrypto

$(FUZZ_SEED): $(B)/obj/tests/fuzz/seed.o $(B)/obj/tests/fuzz/sample.o $$(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(EVENT) -lseccomp -lcrypto

.PHONY: fuzz-programs
fuzz-programs: $(FUZZ_BINS) $(FUZZ_SEED)

.PHONY: fuzz
fuzz:	## run each fuzz target for FUZZ_SECONDS
	$(MAKE) --no-print-directory -s B=$(B)-fuzz CC=clang SAN=1 FUZZ=1 fuzz-programs
	tests/fuzz/run $(B)-fuzz $(FUZZ_SECONDS)

# Tests. Unit tests: tests/unit/test_X.c links the library; tests/unit/SERVICE/test_X.c links that service's objects too.

UNIT_SRCS := $(wildcard tests/unit/test_*.c) $(wildcard tests/unit/*/test_*.c)
UNIT_BINS := $(patsubst %.c,$(B)/%,$(UNIT_SRCS))

# Objects of the program that a unit test in tests/unit/PROGRAM/ looks into, without its main().
unit_program = $(word 3,$(subst /, ,$(1)))
unit_objects = $(if $(filter $(PROGRAMS),$(call unit_program,$(1))),$(filter-out %/main.o,$(call objects,$(DIRS_$(call unit_program,$(1))))))

$(UNIT_BINS): $(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $$(call unit_objects,tests/unit/$$*) $$(EXTRA_OBJS_$$(call unit_program,tests/unit/$$*)) $$(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS_$(call unit_program,tests/unit/$*)) -lcmocka $(EVENT) -lseccomp -lsqlite3 -lcrypto

.PHONY: unit
unit: $(UNIT_BINS)	## build and run the unit tests
	tests/run-unit $(UNIT_BINS)

# Tests. Unit tests: tests/unit/test_X.c links the library; tests/unit/PROGRAM/test_X.c links that program's objects too.

UNIT_SRCS := $(wildcard tests/unit/test_*.c) $(wildcard tests/unit/*/test_*.c)
UNIT_BINS := $(patsubst %.c,$(B)/%,$(UNIT_SRCS))

# Objects of the program that a unit test in tests/unit/PROGRAM/ looks into, without its main().
unit_program = $(word 3,$(subst /, ,$(1)))
unit_objects = $(if $(filter $(PROGRAMS),$(call unit_program,$(1))),$(filter-out %/main.o,$(call objects,$(DIRS_$(call unit_program,$(1))))))

$(UNIT_BINS): $(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $$(call unit_objects,tests/unit/$$*) $$(EXTRA_OBJS_$$(call unit_program,tests/unit/$$*)) $$(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS_$(call unit_program,tests/unit/$*)) -lcmocka $(EVENT) -lseccomp -lsqlite3 -lcrypto

.PHONY: unit
unit: $(UNIT_BINS)	## build and run the unit tests
	tests/run-unit $(UNIT_BINS)

# A program that enters the sandbox of any process of the engine and tries what must not work there.
PROBE := $(B)/tests/privilege/probe
$(PROBE): $$(call objects,tests/privilege) $(B)/obj/tests/fuzz/sample.o $(B)/obj/runtimed/shim/drop.o $$(LIBRARY)
	@mkdir -p $(@D)
	$(call QUIET,LINK)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(EVENT) -lseccomp -lsqlite3 -lcrypto

# T=tests/integration/test_x.py runs one file; PYTEST_ARGS go to pytest.
T ?= tests/integration tests/privilege
# Debian's, which has the packages; another python3 may come first in PATH.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)

.PHONY: integration
integration: all $(PROBE)	## run the integration tests on a real engine
	POUCH_BUILD=$(abspath $(B)) $(PYTHON) -m pytest -q -p no:cacheprovider $(PYTEST_ARGS) $(wildcard $(T))

.PHONY: chaos
chaos: all	## kill, freeze and restart the engine's processes under load, and at its fault points; LONG=1: for minutes
	$(MAKE) --no-print-directory -s B=$(B)-faults FAULTS=1 all
	POUCH_BUILD=$(abspath $(B)) $(PYTHON) -m pytest -q -p no:cacheprovider $(PYTEST_ARGS) tests/chaos

.PHONY: vm
vm:	## the tests of containers on Debian's kernel with cgroup v2, in virtual machines (takes long)
	tools/install-packages build run demo test vm
	$(MAKE) --no-print-directory -s all
	LONG=1 POUCH_BUILD=$(abspath $(B)) $(PYTHON) -m pytest -v -p no:cacheprovider $(PYTEST_ARGS) tests/vm

.PHONY: packages
packages:
	tools/install-packages build run demo test lint

.PHONY: check
check: packages	## install what is needed, build, run every test
	tests/run-all

.PHONY: check-long
check-long: packages	## the same with the long versions of fuzz, chaos and soak
	LONG=1 tests/run-all

.PHONY: demo
demo:	## install what is needed, build, run a first container, show its output, stop
	tools/install-packages build run demo
	$(MAKE) --no-print-directory -s all
	tools/demo $(B)

.PHONY: bench
bench:	## measure side by side with dockerd, podman and bare crun
	tools/install-packages build run demo test bench
	$(MAKE) --no-print-directory -s all
	bench/run $(B)

.PHONY: lint
lint:	## layout, static analysis, scripts, manual pages
	tools/lint

.PHONY: format
format:	## lay out the C source as .clang-format says
	@clang-format -i $(shell git ls-files '*.c' '*.h')

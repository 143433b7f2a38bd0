# Pouch: build, check, measure, install. `make help` lists the targets.
#
#   B=DIR        where to build (default: build)
#   SAN=1        AddressSanitizer and UndefinedBehaviorSanitizer
#   FAULTS=1     compile in the fault points that the chaos tests trigger
#   CC=...       compiler

B       ?= build
PREFIX  ?= /usr
DESTDIR ?=
SAN     ?= 0
FAULTS  ?= 0
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))

include mk/llhttp.mk
include mk/build.mk
include mk/check.mk
include mk/docs.mk
include mk/fuzz.mk
include mk/install.mk
include mk/lint.mk

.DEFAULT_GOAL := all

.PHONY: all
all: $(PROGRAM_FILES)	## build every program into $(B)/

.PHONY: help
help:	## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile mk/*.mk

.PHONY: clean
clean:	## remove $(B)/
	rm -rf $(B)

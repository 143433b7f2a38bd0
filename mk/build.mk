# How programs are made. A program is a row: its folders, and the libraries that it alone may link.

# program        folder(s)            libraries beyond libc
PROGRAMS := pouchd apid runtimed shim rootfs imaged image-fetch image-unpack volumed volume-mount netd dns log auditd

DIRS_pouchd       := pouchd
DIRS_apid         := apid
DIRS_runtimed     := runtimed runtimed/launch
DIRS_shim         := runtimed/shim
DIRS_rootfs       := runtimed/rootfs
DIRS_log          := runtimed/log
DIRS_imaged       := imaged
DIRS_image-fetch  := imaged/fetch
DIRS_image-unpack := imaged/unpack
DIRS_volumed      := volumed
DIRS_volume-mount := volumed/mount
DIRS_netd         := netd
DIRS_dns          := netd/dns
DIRS_auditd       := auditd

# Runtimed's side of the wire between the two.
EXTRA_OBJS_shim := $(B)/obj/runtimed/launch/wire.o

EVENT := -levent_core -ljansson
LIBS_pouchd       := $(EVENT) -lseccomp
LIBS_apid         := $(EVENT) -lssl -lcrypto -lseccomp
LIBS_runtimed     := $(EVENT) -lseccomp -lsqlite3 -lcrypto -lz
# Static: no library is mapped beside each container, and after its chroot none could be; and a program that is executed
# once and forked twice in every start spends a third of that on libraries otherwise.
LIBS_shim         := -l:libz.a
LIBS_rootfs       := $(EVENT) -lseccomp -lz -lbz2 -llzma -lzstd
LIBS_log          := $(EVENT) -lseccomp -lssl -lcrypto -lz
LIBS_imaged       := $(EVENT) -lseccomp -lsqlite3 -lcrypto
LIBS_image-fetch  := $(EVENT) -lseccomp -lcurl -lcrypto
LIBS_image-unpack := $(EVENT) -lseccomp -lcrypto -lisal -lz -lzstd
LIBS_volumed      := $(EVENT) -lseccomp -lsqlite3 -lcrypto
LIBS_volume-mount := $(EVENT) -lseccomp
LIBS_netd         := $(EVENT) -lseccomp -lsqlite3 -lcrypto -lnftables -lnl-route-3 -lnl-3
LIBS_dns          := $(EVENT) -lseccomp
LIBS_auditd       := $(EVENT) -lseccomp -lcrypto

VERSION := $(shell cat VERSION)
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
# Reproducible: the stamp is the commit's time, or SOURCE_DATE_EPOCH when it is set.
STAMP   := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),0)

WARN  := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Werror
OPT   := -O2 -g
HARD  := -fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
# What older compilers lack is asked for: gcc 12 and clang 16 fill what is not initialised, gcc 12 has the third level.
accepts = $(shell echo 'int x;' | $(CC) -O2 $(1) -Werror -x c -c -o /dev/null - 2>/dev/null && echo y)
HARD  += -D_FORTIFY_SOURCE=$(if $(call accepts,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3),3,2)
HARD  += $(if $(call accepts,-ftrivial-auto-var-init=zero),-ftrivial-auto-var-init=zero)
LINK_HARD := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed
ifneq ($(SAN),0)
OPT   := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
HARD  := -fPIE
LINK_HARD := -pie -fsanitize=address,undefined
DEFS  += -DPOUCH_SANITIZED
else
LINK_shim := -static-pie
endif
ifneq ($(FAULTS),0)
DEFS  += -DPOUCH_FAULTS
endif
CPPFLAGS_netd := -I/usr/include/libnl3
CPPFLAGS := -I. -I$(B)/gen -D_GNU_SOURCE $(DEFS)
CFLAGS   := -std=gnu17 $(OPT) $(WARN) $(HARD) -fmacro-prefix-map=$(CURDIR)=. -fno-common -ffunction-sections -fdata-sections
LDFLAGS  := $(LINK_HARD) -Wl,--gc-sections

# V=1 shows whole commands.
QUIET = $(if $(V),,@printf '  %-5s %s\n' $(1) $@;)

objects = $(patsubst %.c,$(B)/obj/%.o,$(wildcard $(addsuffix /*.c,$(1))))

LIB_DIRS := lib lib/sandbox ipc ipc/schema
LIB_OBJS  = $(call objects,$(LIB_DIRS))
LIBRARY  := $(B)/libpouch.a
PROGRAM_FILES := $(foreach p,$(PROGRAMS),$(if $(wildcard $(DIRS_$(p))/*.c),$(B)/$(p)))

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call QUIET,CC)$(CC) $(CPPFLAGS) $(CPPFLAGS_$(firstword $(subst /, ,$*))) $(CFLAGS) -MMD -MP -c -o $@ $<

# A change of flags rebuilds; the file changes only when they do.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)' > $@
.PHONY: FORCE
FORCE:

$(LIBRARY): $(LIB_OBJS)
	@rm -f $@
	$(call QUIET,AR)$(AR) rcs $@ $^

# The version is compiled into one object, so that a new commit rebuilds one object.
$(B)/obj/lib/version.o: CPPFLAGS += -DPOUCH_VERSION='"$(VERSION)"' -DPOUCH_COMMIT='"$(COMMIT)"' -DPOUCH_STAMP=$(STAMP)
$(B)/obj/lib/version.o: $(B)/stamp
$(B)/stamp: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION) $(COMMIT) $(STAMP)' | cmp -s - $@ || echo '$(VERSION) $(COMMIT) $(STAMP)' > $@

.SECONDEXPANSION:
define program_rule
$(B)/$(1): $$$$(call objects,$$(DIRS_$(1))) $$(EXTRA_OBJS_$(1)) $$(LIBRARY)
	$$(call QUIET,LINK)$$(CC) $$(CFLAGS) $$(LDFLAGS) $$(LINK_$(1)) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS_$(1))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rule,$(p))))

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

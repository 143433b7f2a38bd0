# llhttp as Debian's node-llhttp ships it: C source, compiled into apid. Its own warnings are not ours.
LLHTTP_SRC   := /usr/share/llhttp
LLHTTP_OBJS  := $(patsubst %,$(B)/obj/llhttp/%.o,api http llhttp)
EXTRA_OBJS_apid := $(LLHTTP_OBJS)
CPPFLAGS_apid   := -isystem /usr/share/include/llhttp

$(B)/obj/llhttp/%.o: $(LLHTTP_SRC)/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call QUIET,CC)$(CC) $(CPPFLAGS) $(CPPFLAGS_apid) $(filter-out -W%,$(CFLAGS)) -w -c -o $@ $<
# The fuzz target compares with plain llhttp.
$(B)/obj/tests/fuzz/apid/%.o: CPPFLAGS += $(CPPFLAGS_apid)

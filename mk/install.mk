# Installation. UNIT_DIR: where systemd looks for units.
UNIT_DIR ?= $(PREFIX)/lib/systemd/system

.PHONY: install
install: all	## install below $(DESTDIR)$(PREFIX)
	dist/install.sh install "$(B)" "$(DESTDIR)" "$(PREFIX)" "$(UNIT_DIR)"

.PHONY: uninstall
uninstall:	## remove what install has put there; settings and state stay
	dist/install.sh uninstall "$(B)" "$(DESTDIR)" "$(PREFIX)" "$(UNIT_DIR)"

.PHONY: print-programs
print-programs:	## the programs that there are sources for
	@echo $(notdir $(PROGRAM_FILES))

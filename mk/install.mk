# Installation.

.PHONY: install
install: all	## install below $(DESTDIR)$(PREFIX)
	dist/install.sh "$(B)" "$(DESTDIR)" "$(PREFIX)"

.PHONY: print-programs
print-programs:	## the programs that there are sources for
	@echo $(notdir $(PROGRAM_FILES))

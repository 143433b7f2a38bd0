# Installation.

.PHONY: install
install: all	## install below $(DESTDIR)$(PREFIX)
	dist/install.sh "$(B)" "$(DESTDIR)" "$(PREFIX)"

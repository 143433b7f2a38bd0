#!/bin/bash
# Install a build:  dist/install.sh BUILD-DIR DESTDIR PREFIX
set -euo pipefail
cd "$(dirname "$0")/.."

build=$1 destdir=$2 prefix=${3:-/usr}
programs=$prefix/lib/pouch
etc=/etc/pouch
[ "$prefix" = /usr ] || etc=$prefix/etc/pouch

put() { # MODE SOURCE TARGET: with @prefix@, @programs@ in text files replaced
	local mode=$1 source=$2 target=$destdir$3
	mkdir -p "$(dirname "$target")"
	case $source in
	*.service | *.socket | *.in) sed "s|@prefix@|$prefix|g; s|@programs@|$programs|g" "$source" > "$target" ;;
	*) cp "$source" "$target" ;;
	esac
	chmod "$mode" "$target"
}

# Programs: what make has built, together in one directory; commands that people type are links to them.
for program in $(make -s --no-print-directory print-programs B="$build"); do
	put 755 "$build/$program" "$programs/$program"
done
mkdir -p "$destdir$prefix/sbin" "$destdir$prefix/bin"
ln -sfn "../lib/pouch/pouchd" "$destdir$prefix/sbin/pouchd"
if [ -e "$destdir$programs/pouch" ]; then
	ln -sfn "../lib/pouch/pouch" "$destdir$prefix/bin/pouch"
fi

for page in docs/man/*.[1-8]; do
	section=${page##*.}
	put 644 "$page" "$prefix/share/man/man$section/$(basename "$page")"
done
# pouchd-ctl(8) is found as `man pouchd-ctl`, and the units of both ways to run the engine.
put 644 dist/systemd/pouch.service "$prefix/lib/systemd/system/pouch.service"
put 644 dist/systemd/pouch.socket "$prefix/lib/systemd/system/pouch.socket"
put 755 dist/systemd/split/generate "$prefix/share/doc/pouch/systemd-split/generate"
put 644 dist/sysusers.d/pouch.conf "$prefix/lib/sysusers.d/pouch.conf"
put 644 dist/completions/pouchd "$prefix/share/bash-completion/completions/pouchd"

# Settings are the admin's: an existing file stays.
put 644 dist/pouch.json "$prefix/share/doc/pouch/examples/pouch.json"
if [ ! -e "$destdir$etc/pouch.json" ]; then
	put 644 dist/pouch.json "$etc/pouch.json"
fi
for policy in dist/policies/*.json; do
	[ ! -e "$policy" ] || put 644 "$policy" "$prefix/share/doc/pouch/examples/$(basename "$policy")"
done

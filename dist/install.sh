#!/bin/bash
# Install a build, or remove what this puts:  dist/install.sh install|uninstall BUILD-DIR DESTDIR PREFIX [UNIT-DIR]
# Settings and state stay.
set -euo pipefail
cd "$(dirname "$0")/.."

what=$1 build=$2 destdir=$3 prefix=${4:-/usr}
programs=$prefix/lib/pouch
units=${5:-$prefix/lib/systemd/system}
etc=/etc/pouch
[ "$prefix" = /usr ] || etc=$prefix/etc/pouch

put() { # MODE SOURCE TARGET: with @prefix@, @programs@ in text files replaced
	local mode=$1 source=$2 target=$destdir$3
	if [ "$what" = uninstall ]; then
		rm -f "$target"
		return
	fi
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
command_link() { # NAME DIRECTORY
	local link=$destdir$prefix/$2/$1
	if [ "$what" = uninstall ]; then
		rm -f "$link"
	elif [ -e "$destdir$programs/$1" ]; then
		mkdir -p "$(dirname "$link")"
		ln -sfn "../lib/pouch/$1" "$link"
	fi
}
command_link pouchd sbin
command_link pouch bin

for page in docs/man/*.[1-8]; do
	section=${page##*.}
	put 644 "$page" "$prefix/share/man/man$section/$(basename "$page")"
done
# pouchd-ctl(8) is found as `man pouchd-ctl`, and the units of both ways to run the engine.
put 644 dist/systemd/pouch.service "$units/pouch.service"
put 644 dist/systemd/pouch.socket "$units/pouch.socket"
put 755 dist/systemd/split/generate "$prefix/share/pouch/systemd-split"
put 644 dist/sysusers.d/pouch.conf "$prefix/lib/sysusers.d/pouch.conf"
put 644 dist/completions/pouchd "$prefix/share/bash-completion/completions/pouchd"

put 644 dist/pouch.json "$prefix/share/doc/pouch/examples/pouch.json"
for policy in dist/policies/*.json; do
	put 644 "$policy" "$prefix/share/doc/pouch/examples/$(basename "$policy")"
done

# Settings are the admin's: an existing file stays, here and when the rest is removed.
if [ "$what" = install ] && [ ! -e "$destdir$etc/pouch.json" ]; then
	put 644 dist/pouch.json "$etc/pouch.json"
fi
if [ "$what" = uninstall ]; then
	rmdir --ignore-fail-on-non-empty "$destdir$prefix/share/"{doc/pouch/examples,doc/pouch,pouch} \
		"$destdir$programs" 2> /dev/null || true
fi

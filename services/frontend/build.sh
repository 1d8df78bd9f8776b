#!/bin/sh
# Wrap each page into the frame and list all of them: build.sh PAGES OUT
set -eu
mkdir -p "$2"
for page in "$1"/*.txt; do
    name=$(basename "$page" .txt)
    { printf '<!doctype html>\n<title>%s</title>\n<pre>\n' "$name"; cat "$page"; printf '</pre>\n'; } > "$2/$name.html"
done
{ printf '<!doctype html>\n<title>pages</title>\n'; for page in "$1"/*.txt; do
    name=$(basename "$page" .txt); printf '<p><a href="%s.html">%s</a>\n' "$name" "$name"; done; } > "$2/index.html"

#!/bin/sh
# fuzz.sh TIME: fuzzes every fuzz target of the root module for so long.
go=${GO:-go}
for package in $("$go" list ./...); do
  for target in $("$go" test -list '^Fuzz' "$package" | grep ^Fuzz); do
    echo "== $package $target"
    "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$package" || exit
  done
done

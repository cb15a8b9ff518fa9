#!/bin/sh
# goinstall.sh PROGRAM VERSION ARGUMENT...: builds a program of others into $GOBIN with "go install ARGUMENT...", unless
# that version is there: to find out that it is up to date takes the go command seconds.
program=$1 version=$2
shift 2
stamp=$GOBIN/.$program-$version
[ -x "$GOBIN/$program" ] && [ -e "$stamp" ] && exit
echo "== building $program $version"
"${GO:-go}" install "$@" && touch "$stamp"

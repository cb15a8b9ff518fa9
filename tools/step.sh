#!/bin/sh
# step.sh DIRECTORY NAME COMMAND...: runs a step of the tests, and notes in DIRECTORY when it began and ended, for
# "make test-times". It ends with the command's exit code.
directory=$1 name=$2
shift 2
mkdir -p "$directory"
began=$(date +%s.%N)
"$@"
code=$?
echo "$began $(date +%s.%N)" >"$directory/$name.step"
exit $code

#!/bin/sh
# steps.sh DIRECTORY TARGET...: makes the steps of the tests, and notes in DIRECTORY when each began and ended, for "make
# test-times". Compilers and browsers beside labs would starve these: one step comes after the other. No test is skipped
# for want of a program or a right.
export NETPOL_LATENCY_REQUIRE_ALL=1
directory=$1
shift
rm -rf "$directory"
mkdir -p "$directory"
for step; do
  began=$(date +%s.%N)
  "${MAKE:-make}" --no-print-directory "$step"
  code=$?
  echo "$began $(date +%s.%N)" >"$directory/$step.step"
  [ $code = 0 ] || exit $code
done
echo '== all tests passed; "make test-times" says where the time went'

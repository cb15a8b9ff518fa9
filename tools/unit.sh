#!/bin/sh
# unit.sh: runs the root module's tests, and prints their events. The race detector is for the packages whose
# goroutines share memory: in the others it would find nothing, and take its time over it. It needs a C compiler. What it
# slows down or hides, simulations and allocations, is run without it. "make check" vets.
go=${GO:-go}
for need in xmllint:packages benchstat:benchstat; do
  command -v "${need%:*}" >/dev/null || echo "== no ${need%:*}: its tests are skipped; make ${need#*:} installs it" >&2
done
if ! command -v "$($go env CC)" >/dev/null; then
  echo "== no C compiler: the race detector is left out; make packages installs one" >&2
  exec "$go" test -json -vet=off -timeout 10m ./...
fi

shared='/internal/(agent|cli|interrupt|kube|probe|result|runner)$'
all=$("$go" list ./...) || exit 1
code=0
# Each of these is a list of words.
# shellcheck disable=SC2046
{
  CGO_ENABLED=1 "$go" test -json -vet=off -timeout 10m -race $(echo "$all" | grep -E "$shared") || code=1
  "$go" test -json -vet=off -timeout 10m $(echo "$all" | grep -vE "$shared") || code=1
}
"$go" test -json -vet=off -timeout 10m -run 'NoAllocation|NeverFills' ./internal/probe || code=1
exit $code

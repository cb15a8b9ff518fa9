#!/bin/sh
# check.sh CHECK: checks the project; "make check" has all checks but that for vulnerabilities.
tools=bin/tools
cd "$(dirname "$0")/.." || exit
case $1 in
format)
  echo "== checking formatting and vetting"
  # shellcheck disable=SC2046 # a list of files; -a: a log that it is written to is not cut
  [ -z "$(gofmt -l $(git ls-files '*.go') | tee -a /dev/stderr)" ] || exit
  # Programs for macOS are built as archives are, so that nothing is compiled twice.
  "$GO" vet ./... && GOOS=darwin GOARCH=arm64 "$GO" build -trimpath ./...
  ;;
licenses)
  echo "== checking licenses"
  found=$($tools/go-licenses check ./cmd/... --allowed_licenses="$LICENSES" 2>&1) || { echo "$found" >&2 && exit 1; }
  ;;
workflows)
  echo "== checking workflows and scripts"
  # WORKFLOWS is empty, which are all of them, or a list of files.
  # shellcheck disable=SC2086
  $tools/actionlint -shellcheck "$(command -v shellcheck)" -pyflakes= $WORKFLOWS && shellcheck tools/*.sh .ci/run
  ;;
vulnerabilities)
  echo "== looking for known vulnerabilities"
  $tools/govulncheck ${VULNDB:+-db "$VULNDB"} ./cmd/...
  code=$?
  # 3 means that something was found. With any other code the check was not made, which is no better.
  [ $code = 0 ] || [ $code = 3 ] ||
    echo "Vulnerabilities were NOT checked: expected a database that can be read; VULNDB=URL names another" >&2
  exit $code
  ;;
esac

#!/bin/sh
# packaging.sh PART: makes in bin/PART what packages want beside the programs, of the release VERSION.
set -e
cd "$(dirname "$0")/.."
part=$1
rm -rf "bin/$part"
mkdir -p "bin/$part"
case $part in
man)
  epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || true)} # none in an unpacked archive
  cd tools
  SOURCE_DATE_EPOCH=$epoch "$GO" run ./man ${VERSION:+-version "$VERSION"} "../bin/$part"
  ;;
completions)
  for shell in bash zsh fish powershell; do
    bin/netpol-latency completion $shell >"bin/$part/netpol-latency.$shell"
  done
  ;;
notices)
  found=$(bin/tools/go-licenses save ./cmd/... --force --save_path="bin/$part" 2>&1) || { echo "$found" >&2 && exit 1; }
  ;;
esac

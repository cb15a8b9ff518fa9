#!/bin/sh
# npm.sh: installs the npm packages that browser/package-lock.json pins.
set -e
cd "$(dirname "$0")/../browser"
cmp -s package-lock.json node_modules/.installed && exit
echo "== installing npm packages"
npm ci --silent --ignore-scripts
cp package-lock.json node_modules/.installed

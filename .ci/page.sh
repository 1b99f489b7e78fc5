#!/bin/sh
# Checks the modules of the page and runs their tests with node (20 or newer), where there is one.
# The tests of the whole page in a browser are in lattice-host/ui/tests.
set -eu
cd "$(dirname "$0")/../lattice-host/ui/page"

if ! command -v node >/dev/null 2>&1; then
    echo "skipped the tests of the page's modules: there is no node on the PATH"
    exit 0
fi
major=$(node -p 'process.versions.node.split(".")[0]')
if [ "$major" -lt 20 ]; then
    echo "skipped the tests of the page's modules: node $major is older than 20"
    exit 0
fi

find js -name '*.js' | while read -r module; do
    node --check "$module" || exit 1
done
node --test test/*.test.mjs

#!/bin/sh
# Checks the modules of the page and runs their tests with node, where there is one.
# The tests of the whole page in a browser are in lattice-host/ui/tests.
set -eu
cd "$(dirname "$0")/../lattice-host/ui/page"

if ! command -v node >/dev/null 2>&1; then
    echo "skipped the tests of the page's modules: there is no node on the PATH"
    exit 0
fi
# Older versions take the modules for CommonJS.
if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 7) || (a == 20 && b >= 19) ? 0 : 1)'; then
    echo "skipped the tests of the page's modules: node $(node --version) is older than 20.19 or 22.7"
    exit 0
fi

find js -name '*.js' | while read -r module; do
    node --check "$module" || exit 1
done
node --test test/*.test.mjs

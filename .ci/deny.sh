#!/bin/sh
# Checks licences, bans (the layers) and sources with cargo-deny, and advisories where their
# database can be fetched.
set -eu
cd "$(dirname "$0")/.."
tools=$(sh .ci/tool.sh deny '0.20.*')
PATH=$tools:$PATH
cargo deny --all-features check --hide-inclusion-graph bans licenses sources
if cargo deny fetch db >/dev/null 2>&1; then
    cargo deny --all-features check --hide-inclusion-graph advisories
else
    echo "advisories: not checked, because their database can't be fetched from here"
fi

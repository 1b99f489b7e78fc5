#!/bin/sh
# Checks licences, bans (the layers) and sources with cargo-deny, installing it under target/ when it is missing; and
# advisories where their database can be fetched.
set -eu
cd "$(dirname "$0")/.."
if ! cargo deny --version >/dev/null 2>&1; then
    tools=$PWD/target/tools
    [ -x "$tools/bin/cargo-deny" ] || CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root "$tools" --target-dir target/tools/build cargo-deny
    PATH=$tools/bin:$PATH
fi
cargo deny --all-features check --hide-inclusion-graph bans licenses sources
if cargo deny fetch db >/dev/null 2>&1; then
    cargo deny --all-features check --hide-inclusion-graph advisories
else
    echo "advisories: not checked, their database can't be fetched from here"
fi

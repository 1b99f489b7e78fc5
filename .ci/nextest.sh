#!/bin/sh
# usage: nextest.sh [ARGS…]
# Runs every test but the doc tests with cargo-nextest, installing it under target/ when it is missing.
set -eu
cd "$(dirname "$0")/.."
if ! cargo nextest --version >/dev/null 2>&1; then
    tools=$PWD/target/tools
    [ -x "$tools/bin/cargo-nextest" ] ||
        CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root "$tools" --target-dir target/tools/build --no-default-features --features default-no-update cargo-nextest
    PATH=$tools/bin:$PATH
fi
exec cargo nextest run --config-file .ci/nextest.toml --release --workspace --no-fail-fast --status-level fail --final-status-level fail "$@"

#!/bin/sh
# usage: nextest.sh [ARGS…]
# Runs every test but the doc tests with cargo-nextest.
set -eu
cd "$(dirname "$0")/.."
tools=$(sh .ci/tool.sh nextest '0.9.*' --no-default-features --features default-no-update)
PATH=$tools:$PATH
exec cargo nextest run --config-file .ci/nextest.toml --config .ci/checked.toml \
    --release --workspace --no-fail-fast --status-level fail --final-status-level fail "$@"

#!/bin/sh
# usage: nextest.sh [ARGS…]
# Runs every test but the doc tests, with cargo-nextest where it is installed, else with cargo's own runner.
set -eu
cd "$(dirname "$0")/.."
if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --config-file .ci/nextest.toml --release --workspace --no-fail-fast --status-level fail --final-status-level fail "$@"
fi
exec cargo test --release --workspace --lib --bins --tests --examples --no-fail-fast "$@"

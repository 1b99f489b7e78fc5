#!/bin/sh
# usage: bench.sh [ARGS for the load program…]
# The criterion benches, then the load program, which prints the table and writes target/bench/summary.json.
set -eu
cd "$(dirname "$0")/.."
benches='--bench codec --bench transcode --bench route --bench instantiate'
# Of the whole workspace, so that dependencies have the features that they have in the tests, and are not built again.
# shellcheck disable=SC2086 # a list
cargo build --release --quiet --workspace --bin load $benches
# shellcheck disable=SC2086
cargo bench --profile release --quiet --workspace $benches
exec "${CARGO_TARGET_DIR:-target}/release/load" "$@"

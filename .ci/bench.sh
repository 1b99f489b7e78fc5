#!/bin/sh
# usage: bench.sh [ARGS for the load program…]
# Runs the criterion benches, then the load program, which prints the table and writes
# target/bench/summary.json.
set -eu
cd "$(dirname "$0")/.."
# Selects the whole workspace, so that dependencies have the same features as in the tests and are
# not built again.
cargo build --release --quiet --workspace --bin load --bin lattice --bench micro
cargo bench --profile release --quiet --workspace --bench micro
exec "${CARGO_TARGET_DIR:-target}/release/load" "$@"

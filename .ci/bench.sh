#!/bin/sh
# usage: bench.sh [ARGS for the load program…]
# The criterion benches, then the load program, which prints the table and writes target/bench/summary.json.
set -eu
cd "$(dirname "$0")/.."
cargo bench --profile release --quiet -p lattice-benches
exec cargo run --release --quiet -p lattice-benches --bin load -- "$@"

#!/bin/sh
# usage: bench.sh [ARGS for the load program…]
# The criterion benches, then the load program, which prints the table and writes target/bench/summary.json.
set -eu
cd "$(dirname "$0")/.."
benches=$(sed -n '/^\[\[bench\]\]/{n;s/^name = "\(.*\)"/\1/p;}' benches/Cargo.toml | grep -v '^load$')
for bench in $benches; do cargo bench --profile release --quiet --bench "$bench"; done
exec cargo bench --profile release --quiet --bench load -- "$@"

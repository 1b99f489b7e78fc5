#!/bin/sh
# usage: bench-nats.sh [--grpc] [ARGS for the load-nats program…]
#
# Measures calls over NATS and their baselines with two builds: in the release profile, and in the
# profile `careful` (thin LTO, one codegen unit). Each build measures ours and the baselines in the
# same run, in turns, and the last table has both. The rows of the careful build end in `.careful`
# in target/bench/summary.json. With --grpc, the baseline of gRPC is built and measured too.
set -eu
cd "$(dirname "$0")/.."
features=
if [ "${1:-}" = --grpc ]; then
    features=lattice-benches-nats/grpc
    shift
fi
# Selects the whole workspace, as for the tests, so that dependencies have the same features in both
# builds and aren't built again for the first one. None of this compiles wasmtime.
build() {
    cargo build --quiet --workspace --bin load-nats --features "$features" "$@"
}
build --release
build --profile careful
out=${CARGO_TARGET_DIR:-target}
printf 'the release profile: '
"$out/release/load-nats" "$@"
printf '\nthe profile careful: '
"$out/careful/load-nats" --build careful "$@"
exec "$out/careful/load-nats" table "$@"

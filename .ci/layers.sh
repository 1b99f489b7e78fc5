#!/bin/sh
# Fails when a crate depends on a crate of another layer. Only lattice-host may use wasmtime, only
# lattice-core may use async-nats, only lattice-core/otel may use OpenTelemetry, and guests may use
# nothing native.
set -eu
cd "$(dirname "$0")/.."
without() {
    if cargo tree --quiet --edges normal,build --package "$1" --all-features --prefix none | grep -E "^($2) "; then
        echo "$1 must not depend on $2" >&2
        exit 1
    fi
}
# The same with a crate's default features.
without_by_default() {
    if cargo tree --quiet --edges normal,build --package "$1" --prefix none | grep -E "^($2)( |\$)"; then
        echo "$1 must not depend on $2" >&2
        exit 1
    fi
}
direct() {
    offenders=$(grep -lE "^($1)( |\.|=)" lattice-*/Cargo.toml lattice-*/*/Cargo.toml wit/Cargo.toml examples/Cargo.toml | grep -vE "^($2)/Cargo.toml$" || true)
    if [ -n "$offenders" ]; then
        echo "only $2 may name $1, but so does: $offenders" >&2
        exit 1
    fi
}
# Modules import only from below, in the order of ARCHITECTURE.md.
python3 .ci/layers.py
# Files, structs and lines of prose keep to their sizes.
python3 .ci/sizes.py
without lattice-mesh-core 'wasmtime[a-z-]*|lattice-mesh-sim|opentelemetry[a-z_-]*'
without lattice-mesh-otel 'wasmtime[a-z-]*|lattice-mesh-sim|async-nats|aws-lc-sys'
without lattice-mesh-sim 'wasmtime[a-z-]*|async-nats'
without_by_default lattice-mesh-proto 'tokio[a-z-]*|getrandom|async-nats'
without lattice-mesh-provider-sdk 'wasmtime[a-z-]*|lattice-mesh-sim'
without lattice-mesh-ui 'wasmtime[a-z-]*|lattice-mesh-sim|lattice-mesh-host|aws-lc-sys'
without lattice-mesh-providers 'wasmtime[a-z-]*|lattice-mesh-sim|lattice-mesh-host|aws-lc-sys'
# A program that only makes and serves calls contains no manifest parser and no placement. Those
# come with the features `apps` and `view` of lattice-core. (sha2 0.10 comes with NATS's keys; ours
# is 0.11.)
for package in lattice-mesh-core lattice-mesh-provider-sdk; do
    without_by_default "$package" 'toml|schemars|strsim|sha2 v0\.11\.[0-9]*'
done
# The program for calls over NATS is compiled with another profile, and wasmtime isn't.
for package in lattice-benches-common lattice-benches-nats; do
    without "$package" 'wasmtime[a-z-]*|lattice-mesh-host|lattice-mesh-sim'
done
without lattice-mesh-actor-sdk 'wasmtime[a-z-]*|async-nats|tokio'
# The fuzz targets of lattice-host compile the transcoder again.
direct 'wasmtime[a-z-]*' 'lattice-host|lattice-host/fuzz'
direct async-nats 'lattice-core|lattice-provider-sdk/providers'
direct 'opentelemetry[a-z_-]*' 'lattice-core/otel'
# The pure part compiles without an operating system.
pure() {
    RUSTC=$1 cargo check --release --quiet --package lattice-mesh-proto --target wasm32-unknown-unknown
}
has_target() {
    set -- "$("$1" --print target-libdir --target wasm32-unknown-unknown 2>/dev/null)"/libcore-*.rlib
    [ -e "$1" ]
}
if has_target rustc || rustup target add wasm32-unknown-unknown >/dev/null 2>&1; then
    pure rustc
elif has_target target/guest-toolchain/bin/rustc; then
    pure "$PWD/target/guest-toolchain/bin/rustc"
else
    echo "lattice-mesh-proto: not compiled for wasm32-unknown-unknown, no compiler here has that target"
fi
# As those have them who write providers, and who embed a host without its default features.
cargo check --release --quiet --package lattice-mesh-core --package lattice-mesh-provider-sdk
cargo check --release --quiet --package lattice-mesh-host --lib --no-default-features
# Each feature alone; `view` is compiled with all others in every other check.
for features in '' disk dynamic nats apps secrets; do
    cargo clippy --release --quiet --package lattice-mesh-core --lib --no-default-features --features "$features" -- -D warnings
done
echo "lattice-mesh-core builds with each feature alone"

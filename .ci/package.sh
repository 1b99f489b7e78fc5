#!/bin/sh
# Packages every crate that is published, then builds an outside consumer from the packages alone.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
crates='lattice-wit lattice-core lattice-sim lattice-provider-macros lattice-provider-sdk lattice-actor-macros lattice-actor-sdk lattice-host'
for crate in $crates; do set -- "$@" --package "$crate"; done
rm -rf "$target/package"
cargo package --quiet --no-verify --allow-dirty "$@"

work=$target/consumer
rm -rf "$work"
mkdir -p "$work/packages" "$work/src"
cp .ci/consumer/main.rs "$work/src/main.rs"
{
    cat .ci/consumer/Cargo.toml
    echo '[patch.crates-io]'
    for crate in $crates; do
        tar -xzf "$target/package/$crate-"*.crate -C "$work/packages"
        echo "$crate = { path = \"packages/$(basename "$work/packages/$crate-"*)\" }"
    done
} > "$work/Cargo.toml"
# The same versions and the same target folder: what is built already is not built again.
cp Cargo.lock "$work/Cargo.lock"
CARGO_TARGET_DIR=$target cargo run --release --quiet --manifest-path "$work/Cargo.toml"

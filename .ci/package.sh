#!/bin/sh
# Packages every crate that is published, then compiles an outside consumer against the packages
# alone. This fails when a package lacks a file or a dependency. A test of the examples checks that
# the consumer runs.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
# The first name in a manifest is the package's, and the others are those of its programs.
crates=$(for manifest in $(grep -L '^publish' lattice-*/Cargo.toml lattice-*/*/Cargo.toml wit/Cargo.toml); do
    sed -n 's/^name = "\(lattice-[a-z-]*\)"$/\1/p' "$manifest" | head -n 1
done)
for crate in $crates; do set -- "$@" --package "$crate"; done
rm -rf "$target/package"
cargo package --quiet --no-verify --allow-dirty "$@"

work=$target/consumer
rm -rf "$work"
mkdir -p "$work/packages" "$work/src"
cp .ci/consumer/main.rs "$work/src/main.rs"
{
    cat .ci/consumer/Cargo.toml
    echo
    # Uses the workspace's profiles, so that crates that `make lint` has checked are not checked
    # again.
    sed -n '/^\[profile/,/^$/p' Cargo.toml
    echo '[patch.crates-io]'
    for crate in $crates; do
        tar -xzmf "$target/package/$crate-"*.crate -C "$work/packages"
        echo "$crate = { path = \"packages/$(basename "$work/packages/$crate-"*)\" }"
    done
} > "$work/Cargo.toml"
# For the same reason, uses the same versions and the same target folder.
cp Cargo.lock "$work/Cargo.lock"
CARGO_TARGET_DIR=$target cargo check --release --quiet --manifest-path "$work/Cargo.toml"
echo "the outside consumer compiles from the packages"

#!/bin/sh
# usage: PATH=$(.ci/tool.sh NAME VERSION [FLAG…]):$PATH
#
# Prints the folder of cargo's subcommand NAME (`nextest` or `deny`). Uses the first of these:
#   1. the one that cargo already finds;
#   2. target/tools/bin, into which the first run puts the program of the Python package
#      astral-dev-toolchain-cargo-NAME if it can, which needs python3 with venv;
#   3. the same folder, compiled by `cargo install` with these FLAGs.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/target/tools
name=$1
version=$2
shift 2

main() {
    found=$(command -v "cargo-$name") || found=
    if usable "$found"; then
        dirname "$found"
    elif usable "$tools/bin/cargo-$name" || fetch || compile "$@"; then
        echo "$tools/bin"
    else
        echo "tool.sh: no cargo-$name here, and none could be fetched or compiled" >&2
        exit 1
    fi
}

usable() { [ -n "$1" ] && "$1" "$name" --version >/dev/null 2>&1; }

# The program is moved into place in one step, so that a concurrent run can't see a part of it.
fetch() {
    mkdir -p "$tools/bin"
    venv=$(mktemp -d "$tools/$name.XXXXXX")
    trap 'rm -rf "$venv"' EXIT
    python3 -m venv "$venv" >&2 &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            "astral-dev-toolchain-cargo-$name==$version" >&2 &&
        mv "$venv/bin/cargo-$name" "$tools/bin/" &&
        usable "$tools/bin/cargo-$name"
}

compile() {
    env -u RUSTC_WORKSPACE_WRAPPER CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root "$tools" \
        --target-dir "$tools/build" "$@" "cargo-$name" >&2
}

main "$@"

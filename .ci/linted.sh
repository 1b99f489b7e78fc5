#!/bin/sh
# usage: linted.sh COMMAND…
# Runs a command in which cargo compiles the crates of this workspace with clippy. They are checked
# and compiled in one pass, and a warning is an error. `make lint` does the same check alone.
set -eu
driver=$(rustc --print sysroot)/bin/clippy-driver
if ! "$driver" --version >/dev/null 2>&1; then
    echo "linted.sh: there is no clippy in $driver; run \`rustup component add clippy\`" >&2
    exit 1
fi
# This is how cargo-clippy passes its arguments to clippy's driver.
CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
RUSTC_WORKSPACE_WRAPPER=$driver
export CLIPPY_ARGS RUSTC_WORKSPACE_WRAPPER
exec "$@"

#!/bin/sh
# usage: faults.sh [ARGS for the faults program…]
# Builds the faults program the same way as its test, so that nothing is built twice, and runs it.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --quiet --workspace --test fault_program
# One measurement has 10,000 connections.
ulimit -n "$(ulimit -H -n)" || true
exec "${CARGO_TARGET_DIR:-target}/release/faults" "$@"

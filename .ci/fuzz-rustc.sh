#!/bin/sh
# usage: RUSTC_WORKSPACE_WRAPPER=.ci/fuzz-rustc.sh cargo build …
#
# Compiles this workspace's own crates for libFuzzer: branches and comparisons are counted, and
# overflow checks and debug assertions are on. Code that runs inside the compiler (macros with the
# crate that they use, build scripts) and dependencies are compiled as usual.
case " $* " in
    *" proc-macro "* | *" build_script_build "* | *" lattice_wit "* | *" --print"* | *" -vV "*) exec "$@" ;;
esac
exec "$@" -C passes=sancov-module \
    -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
    -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares \
    -C debug-assertions -C overflow-checks -C codegen-units=1

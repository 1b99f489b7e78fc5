#!/bin/sh
# usage: fuzz.sh SECONDS [TARGET…]
#
# Runs each fuzz target with random bytes for SECONDS, starting from its corpus, and prints how many
# inputs each processed. New inputs are added to a corpus under target/fuzz/corpus. An input that
# makes a target fail is saved in target/fuzz/ and fails the run: fix the bug and add the input to
# the corpus in the tree, which `make test` replays. Needs a C++ compiler.
set -eu
cd "$(dirname "$0")/.."
seconds=$1
shift
work=$PWD/target/fuzz
crates='lattice-core/fuzz lattice-host/fuzz'

main() {
    build
    failed=
    printf '| %-6s | %12s | %9s | %6s |\n| --- | --: | --: | --- |\n' target inputs inputs/s found
    for crate in $crates; do
        for corpus in "$crate"/corpus/*/; do
            target=$(basename "$corpus")
            case " $wanted " in *" $target "* | '  ') run "$target" "$PWD/$corpus" || failed=yes ;; esac
        done
    done
    [ -z "$failed" ]
}

# Selects the whole workspace, so that dependencies have the same features as in the tests and are
# not built again.
build() {
    features=$(for crate in $crates; do printf '%s-fuzz/libfuzzer ' "${crate%/fuzz}"; done)
    bins=$(ls -d lattice-*/fuzz/targets/*.rs | sed 's|.*/\(.*\)\.rs|--bin fuzz_\1|')
    # shellcheck disable=SC2086 # a list
    RUSTC_WORKSPACE_WRAPPER=$PWD/.ci/fuzz-rustc.sh \
        cargo build --release --quiet --workspace --features "$features" $bins --test replay
}

run() {
    mkdir -p "$work/corpus/$1"
    log=$work/$1.log
    found=ok
    "${CARGO_TARGET_DIR:-target}/release/fuzz_$1" "$work/corpus/$1" "$2" -max_total_time="$seconds" \
        -artifact_prefix="$work/$1-" -timeout=10 -print_final_stats=1 >"$log" 2>&1 || found=FAULT
    inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    printf '| %-6s | %12s | %9s | %6s |\n' "$1" "$inputs" "$rate" "$found"
    [ "$found" = ok ] && return
    grep -A 6 -E 'panicked at|ERROR:' "$log" | head -20 >&2
    echo "the input is in $(ls -t "$work/$1-"* | head -1); the output is in $log" >&2
    return 1
}

wanted=$*
main

#!/bin/sh
# usage: .ci/guests.sh [FOLDER…]
#
# Builds the guest actors of the examples, the benches and the host's tests, or only those in the
# folders, into target/guests/wasm32-wasip2/release/NAME.wasm, and prints the files. Takes a second
# when nothing changed. The path of the compiler that it uses is then in target/guests/rustc.txt.
#
# Uses the first of these compilers that can build for wasm32-wasip2:
#   1. $LATTICE_GUEST_RUSTC, a path, if it is set (no other is tried then);
#   2. the active Rust toolchain, if it has the target;
#   3. what an earlier run unpacked for (5);
#   4. the active toolchain after `rustup target add wasm32-wasip2`;
#   5. Debian's, unpacked into target/guest-toolchain by install-guest-toolchain.sh, for a machine
#      whose rustup can't download.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=wasm32-wasip2
out=$root/target/guests
fallback=$root/target/guest-toolchain
log=$root/target/guest-toolchain.log
seconds_for_rustup=300

main() {
    mkdir -p "$root/target"
    cd "$root"
    choose_compiler
    # For tests that build guests themselves.
    mkdir -p "$out"
    command -v "${RUSTC:-rustc}" >"$out/rustc.txt"
    # Flags for native code don't apply to WebAssembly, and guests are not checked by clippy.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WORKSPACE_WRAPPER
    [ $# -gt 0 ] || set -- benches/guests examples/guests lattice-host/tests/guests
    for folder; do
        (cd "$folder" && cargo build --quiet --release --locked --target "$target" --target-dir "$out")
    done
    ls "$out/$target/release/"*.wasm
}

choose_compiler() {
    if [ -n "${LATTICE_GUEST_RUSTC:-}" ]; then
        builds_guests "$LATTICE_GUEST_RUSTC" ||
            fail "LATTICE_GUEST_RUSTC=$LATTICE_GUEST_RUSTC can't build for $target; unset it or set it to one that can"
        use "$LATTICE_GUEST_RUSTC"
    elif builds_guests "${RUSTC:-rustc}"; then
        return
    elif builds_guests "$fallback/bin/rustc"; then
        use "$fallback/bin/rustc"
    elif add_target && builds_guests "${RUSTC:-rustc}"; then
        return
    elif unpack_toolchain && builds_guests "$fallback/bin/rustc"; then
        use "$fallback/bin/rustc"
    else
        fail "no Rust compiler here builds for $target, and none could be fetched ($log says why);
run \`rustup target add $target\`, or set LATTICE_GUEST_RUSTC to a rustc that has the target"
    fi
}

# Succeeds when the compiler runs and has the target's standard library.
builds_guests() {
    libraries=$("$1" --print target-libdir --target "$target" 2>/dev/null) || return 1
    for library in "$libraries"/libstd-*.rlib; do
        [ -e "$library" ] && return 0
    done
    return 1
}

use() {
    RUSTC=$1
    export RUSTC
    # A wrapper, such as a compiler cache, may not support this compiler.
    unset RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
}

add_target() {
    command -v rustup >/dev/null || return 1
    say "adding the target $target to the active Rust toolchain"
    limited rustup target add "$target" >"$log" 2>&1
}

unpack_toolchain() {
    say "rustup can't; unpacking a compiler into $fallback"
    "$root/.ci/install-guest-toolchain.sh" "$fallback" >>"$log" 2>&1
}

# Some systems have no `timeout`. There, only rustup's own limits apply.
limited() {
    if command -v timeout >/dev/null; then
        timeout "$seconds_for_rustup" "$@"
    else
        "$@"
    fi
}

say() { echo "guests: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

main "$@"

#!/bin/sh
# usage: .ci/python-guests.sh
#
# Builds the Python guest of the host's tests into target/guests/python/bucket_user.wasm, with
# componentize-py from PyPI. Where that can't be had, it writes the reason to
# target/guests/python/missing.txt and succeeds: the tests that need the guest print the reason and
# are skipped.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
package='componentize-py==0.25.*'
guests=$root/lattice-host/tests/guests
tools=$root/target/tools/componentize-py
out=$root/target/guests/python
wasm=$out/bucket_user.wasm

main() {
    mkdir -p "$out" "$root/target/tools"
    if is_new; then
        echo "$wasm"
    elif ! has_tool && ! fetch >"$out/log.txt" 2>&1; then
        missing "componentize-py can't be fetched ($out/log.txt)"
    elif ! build >"$out/log.txt" 2>&1; then
        missing "componentize-py failed ($out/log.txt)"
    else
        rm -f "$out/missing.txt"
        echo "$wasm"
    fi
}

is_new() {
    [ -e "$wasm" ] && [ -z "$(find "$guests/bucket" "$guests/bucket-python" -newer "$wasm")" ]
}

has_tool() { "$tools/bin/componentize-py" --version >/dev/null 2>&1; }

# The folder can't be moved after it was made, because its programs name it.
fetch() {
    rm -rf "$tools"
    python3 -m venv "$tools" &&
        "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$package" &&
        has_tool
}

# Builds a copy, beside which Python may write its cache.
build() {
    cp "$guests/bucket-python/guest.py" "$out/" &&
        "$tools/bin/componentize-py" --wit-path "$guests/bucket" --world bucket-user \
            componentize guest --python-path "$out" --output "$wasm.new" &&
        mv "$wasm.new" "$wasm"
}

missing() {
    rm -f "$wasm"
    echo "$1" >"$out/missing.txt"
    echo "python-guests: $1; tests of Python guests are skipped" >&2
}

main

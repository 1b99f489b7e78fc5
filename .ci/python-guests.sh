#!/bin/sh
# usage: .ci/python-guests.sh
#
# Builds the guests in Python into target/guests/python/NAME.wasm, with componentize-py from PyPI:
# `bucket_user` and `hello_http_p3` of the host's tests, and `hello_http` of the examples. Where
# that can't be had, it writes the reason to target/guests/python/NAME.missing.txt and succeeds: the
# tests that need the guest print the reason and are skipped.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
package='componentize-py==0.25.*'
tests=$root/lattice-host/tests/guests
hello=$root/examples/guests/hello-python
tools=$root/target/tools/componentize-py
out=$root/target/guests/python

main() {
    mkdir -p "$out" "$root/target/tools"
    guest bucket_user "$tests/bucket" "$tests/bucket-python"
    guest hello_http "$hello" "$root/.ci/wasi-wit.sh"
    guest hello_http_p3 "$tests/hello-p3" "$root/.ci/wasi-wit.sh"
}

# usage: guest NAME SOURCE…
guest() {
    name=$1 wasm=$out/$1.wasm log=$out/$1.log.txt
    shift
    if is_new "$@"; then
        echo "$wasm"
    elif ! has_tool && ! fetch >"$log" 2>&1; then
        missing "componentize-py can't be fetched ($log)"
    elif ! "$name" >"$log" 2>&1; then
        missing "componentize-py failed ($log)"
    else
        rm -f "$out/$name.missing.txt"
        echo "$wasm"
    fi
}

is_new() { [ -e "$wasm" ] && [ -z "$(find "$@" -newer "$wasm")" ]; }

has_tool() { "$tools/bin/componentize-py" --version >/dev/null 2>&1; }

# The folder can't be moved after it was made, because its programs name it.
fetch() {
    rm -rf "$tools"
    python3 -m venv "$tools" &&
        "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "$package" &&
        has_tool
}

bucket_user() { componentize "$tests/bucket" bucket-user "$tests/bucket-python/guest.py"; }

hello_http() { componentize_http "$hello" 0.2.12 hello; }

hello_http_p3() { componentize_http "$tests/hello-p3" 0.3.0 python; }

# usage: componentize_http SOURCE WASI WORLD
componentize_http() {
    sh "$root/.ci/wasi-wit.sh" "$out/$name/wit/deps" "$2" &&
        cp "$1/hello.wit" "$out/$name/wit/" &&
        componentize "$out/$name/wit" "$3" "$1/app.py"
}

# usage: componentize WIT WORLD FILE
#
# Builds a copy, beside which Python may write its cache.
componentize() {
    mkdir -p "$out/$name" &&
        cp "$3" "$out/$name/" &&
        "$tools/bin/componentize-py" --wit-path "$1" --world "$2" \
            componentize "$(basename "$3" .py)" --python-path "$out/$name" --output "$wasm.new" &&
        mv "$wasm.new" "$wasm"
}

missing() {
    rm -f "$wasm"
    echo "$1" >"$out/$name.missing.txt"
    echo "python-guests: $name: $1; its tests are skipped" >&2
}

main

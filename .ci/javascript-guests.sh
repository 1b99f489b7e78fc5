#!/bin/sh
# usage: .ci/javascript-guests.sh [NAME…]
#
# Builds the guests in JavaScript, or only those with these names, into
# target/guests/javascript/NAME.wasm: `hello_http` of the examples with jco from npm, and
# `shortener_counter` of the examples, `hello_http_p3` and `bucket_user` of the host's tests with
# componentize-qjs. Where these can't be had, it writes the reason to
# target/guests/javascript/NAME.missing.txt and succeeds: the tests that need the guest print the
# reason and are skipped.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
# Newer ones fail on Node 20.
jco='@bytecodealliance/jco@1.25.2'
qjs='componentize-qjs@0.4.5'
hello=$root/examples/guests/hello-javascript
counter=$root/examples/guests/shortener-counter
tests=$root/lattice-host/tests/guests
out=$root/target/guests/javascript

main() {
    mkdir -p "$out"
    wanted=" $* "
    guest hello_http jco "$jco" "$hello"
    guest hello_http_p3 componentize-qjs "$qjs" "$tests/hello-p3"
    guest bucket_user componentize-qjs "$qjs" "$tests/bucket-javascript"
    guest shortener_counter componentize-qjs "$qjs" "$counter"
}

# usage: guest NAME TOOL PACKAGE SOURCE
guest() {
    name=$1 tool=$2 package=$3 source=$4
    wasm=$out/$name.wasm log=$out/$name.log.txt tools=$root/target/tools/$2
    # Without names, all are built.
    case $wanted in '  ' | *" $name "*) ;; *) return ;; esac
    if is_new; then
        echo "$wasm"
    elif ! command -v npm >/dev/null; then
        missing "there is no npm"
    elif ! has_tool && ! fetch >"$log" 2>&1; then
        missing "$tool can't be fetched ($log)"
    elif ! { wit && "$name" && mv "$wasm.new" "$wasm"; } >"$log" 2>&1; then
        missing "$tool failed ($log)"
    else
        rm -f "$out/$name.missing.txt"
        echo "$wasm"
    fi
}

is_new() {
    [ -e "$wasm" ] &&
        [ -z "$(find "$source" "$tests/bucket" "$root/.ci/wasi-wit.sh" -newer "$wasm")" ]
}

has_tool() { run --help >/dev/null 2>&1; }

run() { "$tools/node_modules/.bin/$tool" "$@"; }

fetch() {
    mkdir -p "$tools" &&
        npm install --prefix "$tools" --no-save --no-audit --no-fund --loglevel=error "$package" &&
        has_tool
}

wit() {
    case $name in
    bucket_user | shortener_counter) return 0 ;;
    *_p3) version=0.3.0 ;;
    # The only one that works: its engine was built for it.
    *) version=0.2.3 ;;
    esac
    sh "$root/.ci/wasi-wit.sh" "$out/$name/wit/deps" "$version" &&
        cp "$source/hello.wit" "$out/$name/wit/"
}

hello_http() {
    run componentize "$source/hello.js" --wit "$out/$name/wit" --out "$wasm.new"
}

hello_http_p3() {
    run --js "$source/hello.js" --wit "$out/$name/wit" --world javascript --output "$wasm.new"
}

bucket_user() {
    run --js "$source/guest.js" --wit "$tests/bucket" --world bucket-user --output "$wasm.new"
}

shortener_counter() {
    run --js "$source/counter.js" --wit "$source" --world counter --output "$wasm.new"
}

missing() {
    rm -f "$wasm"
    echo "$1" >"$out/$name.missing.txt"
    echo "javascript-guests: $name: $1; its tests are skipped" >&2
}

main "$@"

#!/bin/sh
# usage: .ci/wasi-wit.sh FOLDER VERSION
#
# Writes the WIT packages of WASI into FOLDER: of 0.3.0 those of the crate wasmtime-wasi-http, and
# under an older version, such as 0.2.12, those of the crate wasip2, which the guests of the
# examples depend on. Worlds are left out for versions before that of wasip2, since they name
# interfaces that these do not have.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)

main() {
    folder=${1:?usage: $0 FOLDER VERSION} version=${2:?usage: $0 FOLDER VERSION}
    rm -rf "$folder"
    mkdir -p "$folder"
    case $version in
    0.3.0)
        cp "$(crate . wasmtime-wasi-http)/src/p3/wit/deps/"*.wit "$folder/"
        ;;
    0.2.*)
        wasip2=$(crate examples/guests wasip2)
        newest=$(basename "$wasip2" | sed 's/.*+wasi-//')
        for file in "$wasip2"/wit/deps/*.wit; do
            under_version "$file" >"$folder/$(basename "$file")"
        done
        ;;
    *)
        echo "wasi-wit: there is no WASI $version here" >&2
        return 1
        ;;
    esac
}

# usage: crate WORKSPACE NAME
#
# Prints the folder with the source of a crate that the workspace depends on.
crate() {
    found=$(cargo metadata --format-version 1 --locked --manifest-path "$root/$1/Cargo.toml" |
        grep -o "\"manifest_path\":\"[^\"]*/$2-[0-9][^\"]*\"" | head -n 1 | cut -d '"' -f 4)
    [ -n "$found" ] && dirname "$found"
}

# usage: under_version FILE
under_version() {
    if [ "$version" = "$newest" ]; then
        cat "$1"
        return
    fi
    # A line with a gate is kept back until it is known that no world follows.
    awk -v newest="$newest" -v version="$version" '
        /^world / { within = 1; gate = "" }
        within { if (/^}/) within = 0; next }
        gate != "" { print gate; gate = "" }
        { while ((at = index($0, newest)) > 0)
            $0 = substr($0, 1, at - 1) version substr($0, at + length(newest)) }
        /^@/ { gate = $0; next }
        { print }
    ' "$1"
}

main "$@"

#!/bin/sh
# usage: OCI_REGISTRY=$(.ci/registry.sh)
#
# Prints the path of an OCI registry for tests (CNCF distribution, 2.7 or newer). Uses the first of
# these:
#   1. $OCI_REGISTRY, if it is set (no other is tried then);
#   2. docker-registry or registry, on the PATH;
#   3. target/docker-registry, which the first run takes from the Debian package docker-registry.
#      This needs apt-get and dpkg-deb but no privileges, because nothing is installed.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
package=docker-registry
fetched=$root/target/docker-registry

main() {
    if [ -n "${OCI_REGISTRY:-}" ]; then
        usable "$OCI_REGISTRY" || fail "OCI_REGISTRY=$OCI_REGISTRY is not a registry of CNCF distribution"
        command -v "$OCI_REGISTRY"
    elif usable docker-registry; then
        command -v docker-registry
    elif usable registry; then
        command -v registry
    elif usable "$fetched" || fetch; then
        echo "$fetched"
    else
        fail "no registry here, and none could be fetched; install the package $package, or set OCI_REGISTRY"
    fi
}

# Succeeds when $1 runs and prints `registry github.com/…/distribution v2.…` or v3.
usable() {
    version=$("$1" --version 2>/dev/null) || return 1
    case $version in
        *github.com/*distribution*) ;;
        *) return 1 ;;
    esac
    case ${version##* } in
        v2.[7-9]* | 2.[7-9]* | v[3-9]* | [3-9]*) ;;
        *) return 1 ;;
    esac
}

# The program needs no other file of the package. It is moved into place in one step, so that a
# concurrent run can't see a part of it.
fetch() {
    mkdir -p "$root/target"
    unpacked=$(mktemp -d "$root/target/docker-registry.XXXXXX")
    trap 'rm -rf "$unpacked"' EXIT
    (cd "$unpacked" && download) >&2 &&
        dpkg-deb -x "$unpacked"/"$package"_*.deb "$unpacked" >&2 &&
        mv "$unpacked/usr/bin/docker-registry" "$fetched" &&
        usable "$fetched"
}

# Uses the system's package lists or, where there are none, fetches private ones.
download() {
    apt-get -qq download "$package" 2>/dev/null && return
    mkdir -p lists/partial cache/archives/partial
    lists="-o Dir::State::Lists=$PWD/lists -o Dir::Cache=$PWD/cache"
    # shellcheck disable=SC2086 # These are words.
    apt-get -qq $lists update && apt-get -qq $lists download "$package"
}

fail() {
    echo "registry.sh: $*" >&2
    exit 1
}

main

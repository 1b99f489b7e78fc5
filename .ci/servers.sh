#!/bin/sh
# usage: servers.sh
# Finds the servers that tests of the standard providers use: redis-server and PostgreSQL. Where
# one is missing, apt can install it and the user is root, installs it, within a time limit. Prints
# what is missing after that, and why. The tests of a missing server print that they are skipped, so
# this never fails.
set -u

# The longest time for everything, in seconds. A mirror that is slower than that isn't waited for.
LIMIT=50
began=$(date +%s)
is_updated=

# within COMMAND...: runs a command of apt in the time that is left, or fails.
within() {
    left=$((began + LIMIT - $(date +%s)))
    [ "$left" -gt 0 ] || return 124
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive timeout -k 5 "$left" "$@" \
        -o Acquire::Retries=0 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 \
        -o DPkg::Lock::Timeout=0 </dev/null 2>&1
}

# Prints the folder of PostgreSQL's programs. Debian keeps them out of the PATH.
postgres() {
    for folder in "${POSTGRES_BIN:-}" /usr/lib/postgresql/*/bin /usr/local/pgsql/bin; do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && echo "$folder" && return
    done
    found=$(command -v initdb) && command -v postgres >/dev/null && dirname "$found"
}

redis() {
    if [ -n "${REDIS_SERVER:-}" ]; then
        command -v "$REDIS_SERVER"
    else
        command -v redis-server || command -v valkey-server
    fi
}

# Installs a package without starting what it has: the tests start their own.
install() {
    if ! command -v apt-get >/dev/null; then
        echo "there is no apt-get to install it with"
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "only root can install it; run \`apt-get install $1\`"
        return 1
    fi
    # A new image has no list of packages.
    if [ -z "$is_updated" ] && ! apt-cache show "$1" >/dev/null 2>&1; then
        within apt-get -qq update >/dev/null || true
    fi
    # The download comes first, because an installation should not be cut off.
    if ! log=$(within apt-get -qq install --no-install-recommends --download-only "$1" &&
        within apt-get -qq install --no-install-recommends --no-download "$1"); then
        echo "\`apt-get install $1\` failed: $(printf '%s' "${log:-it was not done within $LIMIT s}" | tail -n 1)"
        return 1
    fi
}

# ensure NAME FUNCTION PACKAGE
ensure() {
    if found=$("$2") && [ -n "$found" ]; then
        echo "$1: $found"
        return
    fi
    why=$(install "$3")
    # One attempt is enough. What `install` sets is lost in its subshell.
    is_updated=yes
    if found=$("$2") && [ -n "$found" ]; then
        echo "$1: $found (installed)"
    else
        echo "$1: not found, so its tests are skipped: ${why:-the package $3 doesn't have it}"
    fi
}

ensure redis redis redis-server
ensure postgres postgres postgresql
# PostgreSQL refuses to run as root, so tests run it as this user.
if [ "$(id -u)" -eq 0 ] && [ -n "$(postgres)" ] && ! id postgres >/dev/null 2>&1; then
    echo "postgres: there is no user \`postgres\` to run it as, so its tests are skipped"
fi
exit 0

# Functions that find programs, and install those of Debian. `.ci/servers.sh` and `.ci/chromium.sh`
# read them, from the root and with the longest time for everything in LIMIT, in seconds.

began=$(date +%s)
is_updated=

# within COMMAND...: runs a command in the time that is left, or fails.
within() {
    left=$((began + LIMIT - $(date +%s)))
    [ "$left" -gt 0 ] || return 124
    timeout -k 5 "$left" "$@" </dev/null 2>&1
}

# apt ARGUMENTS...: runs apt-get so, without questions and services.
apt() {
    within env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get "$@" \
        -o Acquire::Retries=0 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 \
        -o DPkg::Lock::Timeout=0
}

# install PACKAGE...: installs packages without starting what they have: the tests start their own.
install() {
    if ! command -v apt-get >/dev/null; then
        echo "there is no apt-get to install it with"
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "only root can install it; run \`apt-get install $*\`"
        return 1
    fi
    # A new image has no list of packages.
    if [ -z "$is_updated" ] && ! apt-cache show "$@" >/dev/null 2>&1; then
        apt -qq update >/dev/null || true
    fi
    # The download comes first, because an installation should not be cut off.
    if ! log=$(apt -qq install --no-install-recommends --download-only "$@" &&
        apt -qq install --no-install-recommends --no-download "$@"); then
        echo "\`apt-get install $*\` failed: $(printf '%s' "${log:-it was not done within $LIMIT s}" | tail -n 1)"
        return 1
    fi
}

# ensure NAME FUNCTION INSTALLATION...
ensure() {
    if found=$("$2") && [ -n "$found" ]; then
        echo "$1: $found"
        return
    fi
    name=$1 function=$2
    shift 2
    why=$("$@")
    # One attempt is enough. What `install` sets is lost in its subshell.
    is_updated=yes
    if found=$("$function") && [ -n "$found" ]; then
        echo "$name: $found (installed)"
    else
        echo "$name: not found, so its tests are skipped: ${why:-\`$*\` doesn't install it}"
    fi
}

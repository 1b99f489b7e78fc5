#!/bin/sh
# usage: chromium.sh
# Finds the browser and the driver with which tests open the page, Chromium and its chromedriver.
# Where one of them is missing, apt can install it and the user is root, installs both of Debian,
# which have one version. That has a time limit. Prints what is missing after that, and why. Tests
# and rows of the bench that need a browser then print that they are skipped, so this never fails.
set -u

cd "$(dirname "$0")/.."
# The longest time for everything, in seconds. The packages have 100 MB, and unpacked 350 MB.
LIMIT=180
. ./.ci/debian.sh

# The same programs as in lattice-provider-sdk/servers/src/chromium.rs. A function with the name of
# a program would be found in its place.
find_chromium() {
    if [ -n "${CHROMIUM:-}" ]; then
        command -v "$CHROMIUM"
    else
        command -v chromium || command -v chromium-browser || command -v google-chrome
    fi
}

find_chromedriver() {
    command -v "${CHROMEDRIVER:-chromedriver}"
}

both() {
    find_chromium && find_chromedriver
}

if ! both >/dev/null; then
    # One installation, so that they fit each other. Without a font, images show boxes for letters.
    why=$(install chromium chromium-driver fonts-dejavu-core)
fi
for name in chromium chromedriver; do
    if found=$("find_$name") && [ -n "$found" ]; then
        echo "$name: $found"
    else
        echo "$name: not found, so tests in a browser are skipped: ${why:-it isn't in Debian's packages}"
    fi
done
exit 0

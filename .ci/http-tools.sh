#!/bin/sh
# usage: NATS_SERVER="$(sh .ci/nats-server.sh)" http-tools.sh [SECONDS]
# Checks the client of the load program: measures the requests of `http.local.rate` with wrk and
# h2load too, for as many seconds each (10), and prints what each of the three has measured. They
# should agree within 15 %, on a machine that does nothing else. Without wrk or h2load, prints the
# reason and does nothing. Needs the programs and guests of `make bench`.
set -eu

cd "$(dirname "$0")/.."
seconds=${1:-10}
# As in the load program.
connections=64
release=${CARGO_TARGET_DIR:-target}/release
guest=${CARGO_TARGET_DIR:-target}/guests/wasm32-wasip2/release/bench_http_hello.wasm
# How long the host may take to serve, in tenths of a second.
PATIENCE=600

for tool in wrk h2load; do
    if ! command -v "$tool" >/dev/null; then
        echo "http-tools.sh: skipped, because there is no $tool; on Debian, \`apt-get install wrk nghttp2-client\` installs both"
        exit 0
    fi
done
for file in "$release/load" "$release/lattice" "$guest"; do
    if [ ! -f "$file" ]; then
        echo "http-tools.sh: there is no $file; run \`make guests\` and \`make bench\` first" >&2
        exit 1
    fi
done

host=
folder=$(mktemp -d)
trap '[ -z "$host" ] || kill "$host" 2>/dev/null || true; rm -rf "$folder"' EXIT
# Not every shell runs the trap above when a signal ends it.
trap 'exit 130' INT TERM HUP

main() {
    serve
    wrk=$(with_wrk)
    h2load=$(with_h2load)
    kill "$host"
    wait "$host" 2>/dev/null || true
    host=
    load=$(with_load)
    echo "requests/s, $connections connections, $seconds s each:"
    show "load program" "$load"
    show wrk "$wrk"
    show h2load "$h2load"
}

# Starts a host in memory with the actor, behind a wormhole for all host names, and sets `url`.
serve() {
    cat >"$folder/app.toml" <<APP
name = "tools"
[actors.hello]
image = "file:$(realpath "$guest")"
[wormholes.hello]
actor = "hello"
APP
    : >"$folder/log"
    "$release/lattice" up --http 127.0.0.1:0 --app "$folder/app.toml" </dev/null >"$folder/log" 2>&1 &
    host=$!
    left=$PATIENCE
    until url=$(address) && [ -n "$url" ] && is_served; do
        left=$((left - 1))
        if [ "$left" -eq 0 ] || ! kill -0 "$host" 2>/dev/null; then
            echo "http-tools.sh: the host doesn't serve the actor; its log:" >&2
            cat "$folder/log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# Prints the address that the host's log says.
address() {
    sed -n 's|.*wormholes are served at \(http://[0-9.:]*\).*|\1/|p' "$folder/log" | head -n 1
}

is_served() {
    h2load --h1 -n 1 -c 1 "$url" 2>/dev/null | grep -q '^status codes: 1 2xx'
}

# Prints what wrk measures. It lists other statuses only when there are any.
with_wrk() {
    wrk -t 1 -c "$connections" -d "${seconds}s" "$url" >"$folder/wrk"
    if grep -E 'Non-2xx|Socket errors' "$folder/wrk" >&2; then
        return 1
    fi
    awk '$1 == "Requests/sec:" { print $2 }' "$folder/wrk"
}

with_h2load() {
    h2load --h1 -t 1 -c "$connections" -D "$seconds" "$url" >"$folder/h2load"
    if ! grep -q '^status codes: [1-9][0-9]* 2xx, 0 3xx, 0 4xx, 0 5xx' "$folder/h2load"; then
        cat "$folder/h2load" >&2
        return 1
    fi
    sed -n 's|^finished in .*, \([0-9.]*\) req/s.*|\1|p' "$folder/h2load"
}

# Prints what the load program measures for Lattice. It writes the names of fields in their order.
with_load() {
    "$release/load" --only "http.local.${connections}x" --rounds 1 --seconds "$seconds" \
        --summary "$folder/summary.json" >/dev/null
    awk '/"ours":/ { ours = $2 + 0 } /"row": "http.local.rate"/ { print ours }' \
        "$folder/summary.json"
}

# show NAME FIGURE
show() {
    [ -n "$2" ] || {
        echo "http-tools.sh: $1 printed no figure" >&2
        exit 1
    }
    printf '  %-14s %10.0f\n' "$1" "$2"
}

main

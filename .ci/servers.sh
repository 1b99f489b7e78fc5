#!/bin/sh
# usage: servers.sh
# Finds the servers that tests and benches of the standard providers use: redis-server, PostgreSQL,
# RabbitMQ, and moto, which serves S3. Where one of Debian is missing, apt can install it and the
# user is root, installs it. Where moto is missing, python3 gets it into target/moto. All of that
# has a time limit. Prints what is missing after that, and why. The tests of a missing server print
# that they are skipped, and so do the benches, so this never fails.
set -u

cd "$(dirname "$0")/.."
# The longest time for everything, in seconds. A mirror that is slower than that isn't waited for.
# On two busy cores, RabbitMQ takes 15 s, and moto 20 s.
LIMIT=90
. ./.ci/debian.sh

# Prints the folder of PostgreSQL's programs. Debian keeps them out of the PATH.
postgres() {
    for folder in "${POSTGRES_BIN:-}" /usr/lib/postgresql/*/bin /usr/local/pgsql/bin; do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && echo "$folder" && return
    done
    found=$(command -v initdb) && [ -x "${found%/*}/postgres" ] && dirname "$found"
}

redis() {
    if [ -n "${REDIS_SERVER:-}" ]; then
        command -v "$REDIS_SERVER"
    else
        command -v redis-server || command -v valkey-server
    fi
}

# Debian's program of this name in the PATH runs only as its own user.
rabbitmq() {
    server=/usr/lib/rabbitmq/bin/rabbitmq-server
    if [ -x "$server" ]; then
        echo "$server"
    else
        command -v rabbitmq-server
    fi
}

# Prints a Python that has moto.
moto() {
    for python in target/moto/bin/python python3; do
        "$python" -c 'import boto3, flask, flask_cors, importlib.util as util; assert util.find_spec("moto")' \
            2>/dev/null && command -v "$python" && return
    done
    return 1
}

# Installs moto, whole or not at all.
install_moto() {
    part=target/moto.part
    rm -rf target/moto "$part"
    if ! log=$(within python3 -m venv "$part" &&
        within "$part/bin/python" -m pip install --quiet --no-compile \
            --disable-pip-version-check 'moto[s3]==5.*' flask flask-cors); then
        rm -rf "$part"
        echo "moto can't be installed from PyPI: $(printf '%s' "${log:-it was not done within $LIMIT s}" | tail -n 1)"
        return 1
    fi
    mv "$part" target/moto
}

ensure redis redis install redis-server
ensure postgres postgres install postgresql
ensure rabbitmq rabbitmq install rabbitmq-server
ensure s3 moto install_moto
# PostgreSQL refuses to run as root, so tests run it as this user.
if [ "$(id -u)" -eq 0 ] && [ -n "$(postgres)" ] && ! id postgres >/dev/null 2>&1; then
    echo "postgres: there is no user \`postgres\` to run it as, so its tests are skipped"
fi
exit 0

#!/bin/sh
# usage: .ci/install-guest-toolchain.sh PREFIX
#
# For a machine whose rustup can't download. Elsewhere, `rustup target add wasm32-wasip2` is enough.
# Unpacks Debian's rustc, its standard library for wasm32-wasip2 and wasm32-unknown-unknown, and the
# C library that they need into PREFIX, and installs nothing. Then build guests with
#
#     RUSTC=PREFIX/bin/rustc cargo build --target wasm32-wasip2
#
# Needs x86-64 Linux, apt with a Debian mirror, and a rustup toolchain, which
# brings cargo, rust-lld and wasm-component-ld.
set -eu
prefix=$(realpath -m "${1:?usage: $0 PREFIX}")
suite=${DEBIAN_SUITE:-forky}
if [ -x "$prefix/bin/rustc" ]; then exec "$prefix/bin/rustc" -V; fi

tools=$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/bin
[ -x "$tools/wasm-component-ld" ] || { echo "no wasm-component-ld in $tools" >&2; exit 1; }
# shellcheck disable=SC2016 # apt expands it
mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/$') ||
    { echo "no Debian mirror among apt's sources" >&2; exit 1; }

# A private apt configuration: the machine's settings, but one source, an empty package database, no
# hooks, and all files that it writes under PREFIX.part.
part=$prefix.part apt=$prefix.part/apt
rm -rf "$part"
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$part/bin"
: > "$apt/status"
set -- /usr/share/keyrings/debian-archive-keyring.*
echo "deb [arch=amd64 target=Packages signed-by=$1] $mirror $suite main" > "$apt/sources.list"
cat > "$apt/apt.conf" <<EOF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Architecture "amd64";
APT::Sandbox::User "";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
EOF
apt_get() { apt-get -qq -c "$apt/apt.conf" "$@"; }
apt_get update
apt_get install -y --download-only --no-install-recommends libstd-rust-dev libstd-rust-dev-wasm32
(cd "$apt/cache/archives" && apt_get download rustc) # without the C compiler it depends on
for deb in "$apt"/cache/archives/*.deb; do dpkg -x "$deb" "$part"; done

ln -s "$tools" "$part/usr/lib/rustlib/x86_64-unknown-linux-gnu/bin"
cat > "$part/bin/rustc" <<'EOF'
#!/bin/sh
usr=$(dirname "$(dirname "$(realpath "$0")")")/usr
exec "$usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$usr/lib/x86_64-linux-gnu" "$usr/bin/rustc" "$@"
EOF
chmod +x "$part/bin/rustc"
rm -rf "$apt" "${part:?}/etc" "${part:?}/usr/share" "$part/usr/lib/rustlib/wasm32-wasip1"
mv -T "$part" "$prefix"
exec "$prefix/bin/rustc" -V

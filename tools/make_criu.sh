#!/bin/sh
# Builds CRIU from the source package of Debian's unstable release, which is newer than what Debian 12 has, into the
# cache, where pilotlight looks for it: signed by Debian, checked by apt. As root, or with sudo, its libraries are
# installed from Debian's packages. Nothing else of the system is changed.
set -eu
target="${XDG_CACHE_HOME:-$HOME/.cache}/pilotlight/criu"
needs="build-essential libprotobuf-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler python3-protobuf
    libnl-3-dev libcap-dev libnet1-dev uuid-dev pkg-config"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "CRIU is built here from a Debian source package, and there is no apt-get; install CRIU 4.2 or newer" >&2
    exit 1
fi
root=""
[ "$(id -u)" = 0 ] || root="sudo"
missing=""
for package in $needs; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    $root apt-get update -qq
    # shellcheck disable=SC2086
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/source"
cat >"$work/unstable.sources" <<END
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: unstable
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
apt="apt-get -qq -o Dir::Etc::SourceList=$work/unstable.sources -o Dir::Etc::SourceParts=/dev/null"
apt="$apt -o Dir::State::Lists=$work/lists -o Dir::Cache=$work/cache -o APT::Sandbox::User=root"
$apt update
cd "$work/source"
$apt source --download-only --tar-only criu
tar xf criu_*.orig.tar.*
cd criu-*/
make -j"$(nproc)" criu >"$work/build.log" 2>&1 || { tail -20 "$work/build.log" >&2; exit 1; }
mkdir -p "$target"
install -m 755 criu/criu "$target/criu"
"$target/criu" --version
"$target/criu" check || echo "it is there; \`criu check\` says why it is of no use here" >&2

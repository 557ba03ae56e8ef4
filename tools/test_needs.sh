#!/bin/sh
# Installs what the tests need beside Python: a C compiler, Node.js and openssl, from Debian's packages when root or
# sudo is there. What cannot be installed is said; the tests that need it skip loudly, and fail when CI=true.
missing=""
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "NOT INSTALLED:$missing (no apt-get here); the tests that need them will skip" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then root=""; elif command -v sudo >/dev/null 2>&1; then root="sudo"; else
    echo "NOT INSTALLED:$missing (neither root nor sudo); the tests that need them will skip" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$root apt-get update -qq && $root apt-get install -y -qq --no-install-recommends $missing ||
    echo "NOT INSTALLED:$missing (apt-get failed); the tests that need them will skip" >&2
exit 0

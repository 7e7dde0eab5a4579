#!/usr/bin/env bash
# Installs Debian 12 packages, as root or with sudo. Says what it does, and does nothing where all is there already.
#   tools/deps.sh           what building and testing need
#   tools/deps.sh bench     what `make bench` compares WARP with, besides
set -euo pipefail

build=(gcc libc6-dev make meson ninja-build pkg-config python3 libssl-dev libyaml-dev libjansson-dev libxxhash-dev
    libc-ares-dev libnghttp2-dev liburing-dev libjemalloc-dev libcmocka-dev)
test=(python3-pytest curl nginx-light strace valgrind openssl prometheus ca-certificates nodejs npm
    python3-yaml python3-jsonschema zsh fish mandoc
    nghttp2-client python3-grpcio python3-h2 python3-cryptography pebble certbot chromium-headless-shell)

bench=(linux-perf iproute2 openssl nginx-light haproxy varnish hitch trafficserver h2o)

case "${1:-}" in
"") wanted=("${build[@]}" "${test[@]}") ;;
bench) wanted=("${build[@]}" "${bench[@]}") ;;
*) echo "usage: tools/deps.sh [bench]" >&2; exit 2 ;;
esac

missing=()
for package in "${wanted[@]}"; do
    case "$package" in
    nodejs) command -v node >/dev/null && continue ;;
    npm) command -v npm >/dev/null && continue ;;
    esac
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "deps: run as root, or install sudo; missing: ${missing[*]}" >&2; exit 1; }
    sudo=(sudo)
fi
echo "deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -q
# Services that packages would start are not wanted: only their programs are used.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee /usr/sbin/policy-rc.d >/dev/null
    "${sudo[@]}" chmod 755 /usr/sbin/policy-rc.d
    trap '"${sudo[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
fi
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"

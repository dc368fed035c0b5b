#!/bin/sh
# Installs the contenders of the side-by-side benchmark from Debian. It does nothing if all of them are installed.
set -eu
need=""
have() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q "install ok installed"; }
for package in nginx-light libnginx-mod-http-lua haproxy redis-server; do
    have "$package" || need="$need $package"
done
# The row for system calls uses perf, or strace if perf is missing.
command -v perf >/dev/null || have strace || need="$need strace"
[ -z "$need" ] && exit 0
root=""
[ "$(id -u)" = 0 ] || root="sudo"
# The services of the packages must not start: the benchmark starts its contenders itself.
$root apt-get update -qq
# shellcheck disable=SC2086
$root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $need

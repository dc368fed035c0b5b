#!/bin/sh
# Installs what the side-by-side benchmark races against, from Debian; does nothing when all of it is there.
set -eu
need=""
have() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q "install ok installed"; }
for package in nginx-light libnginx-mod-http-lua haproxy redis-server; do
    have "$package" || need="$need $package"
done
# The system-call row counts with perf, or with strace where perf is missing.
command -v perf >/dev/null || have strace || need="$need strace"
[ -z "$need" ] && exit 0
root=""
[ "$(id -u)" = 0 ] || root="sudo"
# A package's own service must not be started here: the benchmark starts its contenders itself.
$root apt-get update -qq
# shellcheck disable=SC2086
$root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $need

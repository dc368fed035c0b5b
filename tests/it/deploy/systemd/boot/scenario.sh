#!/bin/bash
# Runs inside the container, as the job for which systemd is booted. A failing step ends it; the last line reports success.
set -Eeuo pipefail
trap 'echo "FAILED in line $LINENO: $BASH_COMMAND"; journalctl --no-pager -n 60 2>&1 || true' ERR
cd /run/scenario
export HOME=/root

sent=0
# One webhook, a different one each time; fails unless it is answered 2xx.
send() {
  sent=$((sent + 1))
  echo "{\"event_id\":\"$BASHPID-$sent\"}" | hookgate send --insecure --secret-file /etc/hookgate/credentials/paddle \
    --body - https://127.0.0.1:8443/webhooks/paddle
}
property() { systemctl show -P "$1" hookgate.service; }
until_is() { # PROPERTY VALUE: waits at most 20 s
  for _ in {1..200}; do [ "$(property "$1")" = "$2" ] && return; sleep 0.1; done
  echo "$1 is $(property "$1"), not $2"; return 1
}
step() { echo "step: $*"; }

step start: it is up when it says so, as nobody with nothing
systemctl start upstream.socket hookgate.service
[ "$(property ActiveState)" = active ]
[[ "$(property StatusText)" == "Serving on "*"8443 (public)" ]]
send
status=/proc/$(property MainPID)/status
grep -q '^CapEff:\s0000000000000000$' "$status"
grep -q '^NoNewPrivs:\s1$' "$status"
grep -q '^Seccomp:\s2$' "$status"
! grep -q '^Uid:\s0\s' "$status"

step metrics and process metrics are there under the sandbox
exec 3<>/dev/tcp/127.0.0.1/9464
printf 'GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&3
cat <&3 >metrics
exec 3>&-
grep -q '^hookgate_requests_total{.*verdict="forwarded"} 1' metrics
for name in process_resident_memory_bytes process_open_fds process_start_time_seconds; do grep -q "^$name [1-9]" metrics; done

step reload: a good file is taken, a faulty one changes nothing and the command fails
systemctl reload hookgate.service
send
cp /etc/hookgate/gateway.toml good.toml
echo nonsense >>/etc/hookgate/gateway.toml
if systemctl reload hookgate.service; then exit 1; fi
for _ in {1..200}; do [[ "$(property StatusText)" == *"last reload failed"* ]] && break; sleep 0.1; done
[[ "$(property StatusText)" == *"last reload failed"* ]]
until_is ActiveState active
send
cp good.toml /etc/hookgate/gateway.toml
systemctl reload hookgate.service
for _ in {1..200}; do [[ "$(property StatusText)" != *"last reload failed"* ]] && break; sleep 0.1; done
[[ "$(property StatusText)" == "Serving on "* ]]

step restart under load: every webhook is answered
touch loading loaded
( while [ -e loading ]; do send >>loaded || echo "webhook $sent" >>refused; done ) &
for _ in 1 2 3; do
  before=$(grep -c '^200' loaded || true)
  systemctl restart hookgate.service
  for _ in {1..200}; do [ "$(grep -c '^200' loaded || true)" -gt "$((before + 2))" ] && break; sleep 0.1; done
done
rm loading
wait
[ "$(grep -c '^200' loaded)" -gt 8 ]
[ ! -e refused ] || { cat refused; false; }

step stop: the socket stays, and the next webhook starts it again
systemctl stop hookgate.service
until_is ActiveState inactive
[ "$(property Result)" = success ]
send
until_is ActiveState active

step watchdog: a process that hangs is replaced
mkdir -p /run/systemd/system/hookgate.service.d
printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/hookgate.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart hookgate.service
[ "$(property NRestarts)" = 0 ]
kill -STOP "$(property MainPID)"
until_is NRestarts 1
until_is ActiveState active
send

step a faulty configuration ends the start with exit code 2, once
echo nonsense >>/etc/hookgate/gateway.toml
if systemctl restart hookgate.service; then echo "it started with nonsense"; false; fi
[ "$(property ExecMainStatus)" = 2 ]
echo "all steps passed"

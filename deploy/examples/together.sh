# Shared by the `run` script of every example: starts hookgate and an application on one machine.
#
#   ./run                installs what is missing, then starts both and serves until Ctrl-C
#   ./run send [FILE]    delivers a genuine webhook as the provider would, and prints the answer
#   ./run install        only one of the steps, like the next two
#   ./run application
#   ./run gateway
#
# A `run` script sets `here`, sources this file, sets `path` (of the webhook) and `upstream` (where the application listens; or
# EXAMPLE_UPSTREAM), defines `install_application` and `start_application`, and calls `bring_up`. Certificate, secrets, database and
# socket are created once and kept in EXAMPLE_STATE (.state), installed packages in EXAMPLE_INSTALLED (.installed). gateway.toml
# is the file for a server; the function `gateway` below replaces its paths by those of this machine.

examples=$(dirname "${BASH_SOURCE[0]}")
repository=$(cd "$examples/../.." && pwd)
state=${EXAMPLE_STATE:-$here/.state}
installed=${EXAMPLE_INSTALLED:-$here/.installed}

# Installs missing Debian packages. On another system install these programs by hand.
packages() {
  if command -v dpkg-query >/dev/null; then "$repository/tests/apps/packages" "$@"; fi
}

# Creates a virtual environment with exactly the versions of requirements.txt.
python_packages() {
  cmp -s "$here/requirements.txt" "$installed/requirements.txt" && return
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages python3-venv
  rm -rf "$installed" && mkdir -p "$installed"
  python3 -m venv "$installed/venv"
  "$installed/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$installed/"
}

# Finds the binary: EXAMPLE_HOOKGATE, or hookgate in PATH, or a build of this repository.
find_hookgate() {
  hookgate=${EXAMPLE_HOOKGATE:-$(command -v hookgate || true)}
  [ -n "$hookgate" ] && return
  (cd "$repository" && cargo build --release --quiet)
  hookgate=${CARGO_TARGET_DIR:-$repository/target}/release/hookgate
}

random() { openssl rand -hex "$1"; }

# Creates a certificate, secrets and a key pair for Paddle Classic, for tests on this machine. In production they come from your
# certificate authority, your secret store and the provider's dashboard.
make_keys() {
  local made=$state/keys.$$
  command -v openssl >/dev/null || packages openssl
  mkdir -p "$made" && chmod 700 "$made"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -config /dev/stdin \
    -keyout "$made/tls.key" -out "$made/tls.crt" 2>/dev/null <<EOF
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = localhost
[extensions]
subjectAltName = DNS:localhost, IP:127.0.0.1
EOF
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$made/classic.key" 2>/dev/null
  openssl pkey -in "$made/classic.key" -pubout -out "$made/classic.pem"
  cat >"$made/secrets" <<EOF
PADDLE_WEBHOOK_SECRET=pdl_ntfset_$(random 13)_$(random 16)
PADDLE_API_SECRET=$(random 16)
GATEWAY_TOKEN=$(random 24)
LICENCE_SECRET=$(random 24)
SECRET_KEY_BASE=$(random 48)
EOF
  # One atomic rename, so that two scripts that start at the same time use the same keys.
  mv -nT "$made" "$state/keys"
  rm -rf "$made"
}

read_state() {
  [ -e "$state/keys" ] || make_keys
  set -a
  # shellcheck disable=SC1091
  . "$state/keys/secrets"
  set +a
  export STATE=$state
  upstream=${EXAMPLE_UPSTREAM:-$upstream}
}

# Replaces this shell by hookgate with the example's gateway.toml.
gateway() {
  export HOOKGATE_LISTEN__TLS__CERTIFICATE="$state/keys/tls.crt" HOOKGATE_LISTEN__TLS__KEY="$state/keys/tls.key"
  export HOOKGATE_UPSTREAMS__APP__URL="$upstream"
  exec "$hookgate" serve --config "$here/gateway.toml"
}

# Runs both until one of them ends or this shell gets a signal. hookgate ends first, because its requests in flight need the
# application.
together() {
  # The functions must replace their subshells (exec), so that these process ids are those of the programs.
  (start_application) & application=$!
  (gateway) & gateway=$!
  trap 'end' EXIT
  trap 'exit 0' INT TERM
  echo "hookgate listens on ${HOOKGATE_LISTEN__ADDRESS:-port 8443}, $(basename "$here") listens on $upstream; try: $here/run send"
  wait -n || true
}

end() {
  trap '' INT TERM
  kill "$gateway" 2>/dev/null && wait "$gateway" || true
  kill "$application" 2>/dev/null && wait "$application" || true
}

bring_up() {
  case "${1:-}" in
    '') install_application; find_hookgate; read_state; together ;;
    install) install_application ;;
    application) read_state; start_application ;;
    gateway) find_hookgate; read_state; gateway ;;
    send)
      find_hookgate; read_state
      exec "$hookgate" send --provider paddle --secret-env PADDLE_WEBHOOK_SECRET --ca "$state/keys/tls.crt" \
        --body "${2:-$examples/event.json}" --header 'Content-Type: application/json' "${EXAMPLE_URL:-https://localhost:8443}$path"
      ;;
    *) sed -n '3,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
}

#!/bin/sh
# Installs hookgate for Linux on x86-64 and arm64: the binary, its manual page and completions. It checks the checksum of what it
# downloads.
#
#   HOOKGATE_URL  where the files of the release are; a release writes its own address here
#   PREFIX        where to install: /usr/local, or ~/.local for a user who may not write there
set -eu

url=${HOOKGATE_URL:-@URL@}
version=@VERSION@

fail() {
  echo "hookgate: $*" >&2
  exit 1
}
case $url in
  *://*) ;;
  *) fail "this is the script of the source tree; set HOOKGATE_URL to the address of a release" ;;
esac
[ "$(uname -s)" = Linux ] || fail "there are binaries for Linux only; build it with: cargo install --locked --path ."
case $(uname -m) in
  x86_64 | amd64) architecture=amd64 ;;
  aarch64 | arm64) architecture=arm64 ;;
  *) fail "there is no binary for $(uname -m); build it with: cargo install --locked --path ." ;;
esac
if command -v curl >/dev/null; then
  get() { curl --proto '=https,file' --tlsv1.2 --fail --silent --show-error --location --output "$2" "$1"; }
elif command -v wget >/dev/null; then
  get() { wget --quiet --output-document="$2" "$1"; }
else
  fail "install curl or wget first"
fi
if [ -z "${PREFIX:-}" ]; then
  PREFIX=/usr/local
  [ -w "$PREFIX/bin" ] || PREFIX=$HOME/.local
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=hookgate-$version-linux-$architecture
get "$url/$name.tar.gz" "$work/$name.tar.gz" || fail "cannot download $url/$name.tar.gz"
get "$url/SHA256SUMS" "$work/SHA256SUMS" || fail "cannot download $url/SHA256SUMS"
grep "  $name.tar.gz\$" "$work/SHA256SUMS" >"$work/sum" || fail "SHA256SUMS has no line for $name.tar.gz"
(cd "$work" && sha256sum -c sum >/dev/null 2>&1) || fail "the checksum of $name.tar.gz is wrong: nothing was installed"
tar -xzf "$work/$name.tar.gz" -C "$work"
from=$work/$name

place() { mkdir -p "$(dirname "$2")" && install -m "$3" "$1" "$2"; }
place "$from/hookgate" "$PREFIX/bin/hookgate" 755
place "$from/man/man1/hookgate.1.gz" "$PREFIX/share/man/man1/hookgate.1.gz" 644
place "$from/completions/hookgate.bash" "$PREFIX/share/bash-completion/completions/hookgate" 644
place "$from/completions/_hookgate" "$PREFIX/share/zsh/site-functions/_hookgate" 644
place "$from/completions/hookgate.fish" "$PREFIX/share/fish/vendor_completions.d/hookgate.fish" 644
echo "$PREFIX/bin/hookgate: $("$PREFIX/bin/hookgate" --version)"
case :$PATH: in
  *:"$PREFIX/bin":*) ;;
  *) echo "add $PREFIX/bin to PATH" ;;
esac

# A Homebrew formula for Linux; a release fills in address, version and checksums. Put it into a tap as Formula/hookgate.rb.
class Hookgate < Formula
  desc "Reverse proxy that forwards only genuine webhooks"
  homepage "@HOMEPAGE@"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]
  depends_on :linux

  on_intel do
    url "@URL@/hookgate-@VERSION@-linux-amd64.tar.gz"
    sha256 "@SHA256_AMD64@"
  end
  on_arm do
    url "@URL@/hookgate-@VERSION@-linux-arm64.tar.gz"
    sha256 "@SHA256_ARM64@"
  end

  def install
    bin.install "hookgate"
    man1.install "man/man1/hookgate.1.gz"
    bash_completion.install "completions/hookgate.bash" => "hookgate"
    zsh_completion.install "completions/_hookgate"
    fish_completion.install "completions/hookgate.fish"
    pkgshare.install "prometheus", "grafana", "gateway.toml"
    doc.install Dir["docs/*"]
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/hookgate --version")
    assert_match "paddle", shell_output("#{bin}/hookgate providers")
  end
end

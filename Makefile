# What one can do here. `make demo` and `make test` install what the machine lacks and share one build.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/wuku/target
VENV := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/wuku/venv
PYTHON := $(VENV)/bin/python3
export WUKU_INTEROP_PYTHON ?= $(PYTHON)
PEOPLE ?= 20000
SUITE ?= sm2

# cargo-fuzz from crates.io, built once; this version's lock file is the one it was published with.
FUZZ_VERSION := 0.13.2
# Finds, learned inputs and instrumented builds stay beside the usual build, so that they are made once.
export WUKU_FUZZ_OUT ?= $(CARGO_TARGET_DIR)/../fuzz

.PHONY: gm demo test lint build deps python endurance bench fuzz fuzz-short fuzz-tool help

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: deps ## build, make a demo city, play the scenario, keep serving (DEMO_ONCE=1: exit after it; SUITE=ed25519: not the 国密 suite)
	cargo run --quiet --locked --bin wuku -- demo --people $(PEOPLE) --suite $(SUITE) $(if $(DEMO_ONCE),--once)

test: python ## every test
	cargo test --locked
	cargo test --locked --no-default-features --features verify --lib --bin wuku-verify

lint: deps ## format, clippy (warnings are errors), and the contract's grammar where buf is there
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	@if command -v buf >/dev/null; then cd proto && buf lint; else echo "buf is not installed: the contract's grammar is not checked"; fi
	@if command -v cargo-deny >/dev/null; then cargo deny --offline check bans licenses sources; else echo "cargo-deny is not installed: licences and sources are not checked"; fi

build: deps ## both binaries
	cargo build --locked

deps:
	@deploy/install-build-deps.sh

python:
	@deploy/install-build-deps.sh --test
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@$(PYTHON) -c 'import cryptography, gmalg, google.protobuf, grpc, grpc_tools' 2>/dev/null || \
		$(VENV)/bin/pip install --quiet --disable-pip-version-check cryptography gmalg protobuf grpcio grpcio-tools

fuzz: fuzz-tool ## hostile bytes against every reader of outside files, ten minutes a target (SECONDS=n, ONLY=target)
	tests/fuzz/run.sh $(or $(SECONDS),600) $(ONLY)

fuzz-short: fuzz-tool ## the same, half a minute a target, and the control: planted faults must be found
	tests/fuzz/run.sh control
	tests/fuzz/run.sh 30

fuzz-tool: python
	@cargo fuzz --version 2>/dev/null | grep -qF $(FUZZ_VERSION) || cargo install cargo-fuzz --locked --version $(FUZZ_VERSION)

endurance: python ## every fault harness in its long form, then a table against the targets (70 minutes; the rounds of SM2 are `make gm`)
	@mkdir -p target && rm -f target/endurance.jsonl
	@WUKU_ENDURANCE=long WUKU_FIGURES=$(CURDIR)/target/endurance.jsonl \
		cargo test --release --locked --test endurance -- --nocapture --test-threads=1 $(or $(ONLY),--skip gm::) ; \
		code=$$?; python3 tests/endurance/table.py target/endurance.jsonl && exit $$code

gm: ## ten million rounds of SM2 on every core, and nothing else (hours)
	@$(MAKE) --no-print-directory endurance ONLY=gm::

bench: deps ## every figure of the measure of speed against its target, in release, into target/bench (ten minutes of building, a quarter of an hour of measuring; QUICK=1: three minutes)
	cargo build --release --locked --bin wuku
	python3 benches/run.py --wuku $(CARGO_TARGET_DIR)/release/wuku --out target/bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

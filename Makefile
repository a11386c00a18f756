# The doors. `make run` and `make test` do everything on a fresh Debian 12 machine with a Rust toolchain.
.PHONY: run image test bench soak fuzz check fix clean setup
.DEFAULT_GOAL := image
SHELL := /bin/sh

# No path of this machine gets into a program; the same flags everywhere, so that nothing is built twice.
CARGO_HOME ?= $(HOME)/.cargo
export RUSTFLAGS := --remap-path-prefix=$(CURDIR)=/keelson --remap-path-prefix=$(CARGO_HOME)=/cargo
# The same for what is written in C, such as aws-lc.
export CFLAGS := -ffile-prefix-map=$(CARGO_HOME)=/cargo
KEELSON := target/release/keelson

setup:
	@.ci/setup

$(KEELSON): setup
	@cargo build --release --quiet --workspace --bin keelson
.PHONY: $(KEELSON)

# Build the image and boot it in QEMU, with its console in this terminal.
run: $(KEELSON)
	@$(KEELSON) run --renew-vanished $(ARGS)

# Build the image: target/keelson/image/keelson-vm.raw
image: $(KEELSON)
	@$(KEELSON) build $(ARGS)

# Everything CI proves.
test: setup
	@tests/run test

# What takes too long for CI.
soak: setup
	@tests/run soak

# Arbitrary bytes for what reads requests, logs and releases: a minute each.
fuzz: setup
	@tests/fuzz

# Figures, each beside its peer measured in the same run; a Markdown table.
bench: $(KEELSON)
	@tests/run bench

# Reads only: formatting, lints, the repository's rules.
check: setup
	@cargo fmt --all --check
	@cargo clippy --release --workspace --all-targets --quiet -- --deny warnings
	@cargo test --release --workspace --quiet --test repository

# Rewrites what `check` complains of, where a tool can.
fix:
	@cargo clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged
	@cargo fmt --all

clean:
	@cargo clean

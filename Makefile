# The commands: `make demo`, `make test`, `make bench`, `make faults`, `make soak`,
# `make fuzz`. Each fetches or builds what it needs.
# One profile, one target folder and one selection of packages (all of them, never `-p`) for each, so that features are
# the same everywhere and wasmtime is compiled once.

CARGO ?= cargo
GUESTS := target/guests/wasm32-wasip2/release
# Our own crates check their arithmetic and their debug assertions.
CHECKED := --config .ci/checked.toml

.PHONY: demo test bench faults soak fuzz guests fmt lint docs deny package clean

demo: guests
	$(CARGO) run --release --quiet --example quickstart
	$(CARGO) run --release --quiet --example constellation

## Doc tests first: the runner's own summary is the last thing printed.
test: guests
	$(CARGO) test $(CHECKED) --release --workspace --doc --quiet
	NATS_SERVER="$$(sh .ci/nats-server.sh)" sh .ci/nextest.sh

bench: guests
	NATS_SERVER="$$(sh .ci/nats-server.sh)" sh .ci/bench.sh

## What becomes of calls when hosts, the server and components fail; prints a table, and adds to the bench's summary.
faults: guests
	NATS_SERVER="$$(sh .ci/nats-server.sh)" sh .ci/faults.sh

## Ten minutes of mixed calls with kills and restarts: fails when a call hangs or anything grows.
soak: SECONDS ?= 600
soak: guests
	NATS_SERVER="$$(sh .ci/nats-server.sh)" sh .ci/faults.sh soak --seconds $(SECONDS)

## Random bytes for every decoder and the transcoder, SECONDS for each target. Needs a C++ compiler.
fuzz: SECONDS ?= 60
fuzz:
	sh .ci/fuzz.sh $(SECONDS)

## The WebAssembly components of the examples, tests and benches, compiled from source.
guests:
	sh .ci/guests.sh

fmt:
	$(CARGO) fmt --all --check
	for guests in examples/guests lattice-host/tests/guests benches/guests; do $(CARGO) fmt --manifest-path $$guests/Cargo.toml --all --check || exit 1; done

lint:
	$(CARGO) clippy $(CHECKED) --release --workspace --all-targets --quiet -- -D warnings

## With the examples, so that dependencies have the features that they have for clippy, and are not
## checked again.
docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(CHECKED) --release --workspace --no-deps \
		--lib --bins --examples --quiet

deny:
	sh .ci/deny.sh

package:
	sh .ci/package.sh

clean:
	$(CARGO) clean

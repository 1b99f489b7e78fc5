# The commands: `make demo`, `make test`, `make bench`, `make faults`, `make soak`, `make fuzz`.
# Each fetches or builds what it needs. Every command uses one profile, one target folder and one
# selection of packages (all of them, never `-p`), so that features are the same everywhere and
# wasmtime is compiled once.

CARGO ?= cargo
GUESTS := target/guests/wasm32-wasip2/release
# Our own crates are compiled with overflow checks and debug assertions.
CHECKED := --config .ci/checked.toml

.PHONY: demo test bench faults soak fuzz guests fmt lint lint-benches docs deny package clean

## Compiles the guests of the examples alone.
demo:
	sh .ci/guests.sh examples/guests
	sh .ci/javascript-guests.sh shortener_counter
	$(CARGO) run --release --quiet --example quickstart
	$(CARGO) run --release --quiet --example constellation
	$(CARGO) run --release --quiet --example shortener

## Runs the doc tests first, so that the test runner's summary is printed last.
test: guests
	sh .ci/page.sh
	sh .ci/servers.sh
	sh .ci/chromium.sh
	$(CARGO) test $(CHECKED) --release --workspace --doc --quiet
	NATS_SERVER="$$(sh .ci/nats-server.sh)" sh .ci/nextest.sh

bench: guests
	sh .ci/servers.sh
	sh .ci/chromium.sh
	NATS_SERVER="$$(sh .ci/nats-server.sh)" sh .ci/bench.sh
	NATS_SERVER="$$(sh .ci/nats-server.sh)" sh .ci/bench-nats.sh --rounds 3

## Measures what happens to calls when hosts, the server and components fail. Prints a table, and
## adds its rows to the bench's summary.
faults: guests
	NATS_SERVER="$$(sh .ci/nats-server.sh)" sh .ci/faults.sh

## Makes mixed calls for ten minutes with kills and restarts. Fails when a call hangs or a process
## grows.
soak: SECONDS ?= 600
soak: guests
	NATS_SERVER="$$(sh .ci/nats-server.sh)" sh .ci/faults.sh soak --seconds $(SECONDS)

## Feeds random bytes to every decoder and the transcoder, SECONDS for each target. Needs a C++
## compiler.
fuzz: SECONDS ?= 60
fuzz:
	sh .ci/fuzz.sh $(SECONDS)

## Compiles the WebAssembly components of the examples, tests and benches.
guests:
	sh .ci/guests.sh
	sh .ci/python-guests.sh
	sh .ci/javascript-guests.sh

fmt:
	$(CARGO) fmt --all --check
	for guests in examples/guests lattice-host/tests/guests benches/guests; do $(CARGO) fmt --manifest-path $$guests/Cargo.toml --all --check || exit 1; done

lint:
	$(CARGO) clippy $(CHECKED) --release --workspace --all-targets --quiet -- -D warnings

## Compiles the one target that tests don't. `.ci/run` compiles it and the tests with clippy.
lint-benches:
	$(CARGO) build $(CHECKED) --release --workspace --bench micro --quiet

## Includes the examples, so that dependencies have the same features as for clippy and are not
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

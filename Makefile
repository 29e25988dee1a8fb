# The two commands a newcomer needs: `make run` and `make test`. Both install what they need.

CARGO ?= cargo
THIRD_PARTY := tests/third-party

.PHONY: run test test-api lint bench deps

run: ## Start the server; its data goes to ./data
	$(CARGO) run --release --bin roomful -- serve

test: deps ## All tests, with the third-party software they use as clients
	$(CARGO) test --workspace

test-api: deps ## The API against its own OpenAPI document, by schemathesis, at length
	ROOMFUL_API_EXAMPLES=200 $(CARGO) test --package roomful --test third_party schemathesis -- --nocapture

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

bench: ## Print the figures as a table, and write them to bench/results/
	$(CARGO) build --release --workspace
	./target/release/bench

deps: $(THIRD_PARTY)/node_modules/.installed $(THIRD_PARTY)/.venv/.installed
	@command -v chromium >/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends chromium'
	@command -v curl >/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends curl'

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

$(THIRD_PARTY)/node_modules/.installed: $(THIRD_PARTY)/package.json $(THIRD_PARTY)/package-lock.json
	cd $(THIRD_PARTY) && npm ci --no-audit --no-fund
	touch $@

$(THIRD_PARTY)/.venv/.installed: $(THIRD_PARTY)/requirements.txt
	python3 -c 'import ensurepip, venv' 2>/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends python3-venv'
	python3 -m venv $(THIRD_PARTY)/.venv
	$(THIRD_PARTY)/.venv/bin/pip install -q -r $(THIRD_PARTY)/requirements.txt
	touch $@

# The two commands a newcomer needs: `make run` and `make test`. Both install what they need.

CARGO ?= cargo
THIRD_PARTY := tests/third-party

.PHONY: run cluster release simulate test test-api test-cluster public-pages soak sdk generated lint bench bench-compare bench-media bench-cluster lab lab-short deb deps postgresql

run: sdk ## Start the server for development; its data goes to ./data
	@echo 'building target/quick/roomful, which is soon there; `make release` builds the fastest, target/release/roomful'
	$(CARGO) run --profile quick --bin roomful -- serve --dev

cluster: sdk postgresql ## Three nodes on this machine, on a PostgreSQL of their own (PORT=8480 is the first one's)
	$(CARGO) build --profile quick --bin roomful
	packaging/try-cluster.sh target/quick/roomful

release: sdk ## Build the fastest server, target/release/roomful; it takes about twice as long
	$(CARGO) build --release --bin roomful

test: deps sdk sdk/js/node_modules/.installed ## All tests, with the third-party software they use as clients
	cd sdk/js && npm run check && npm test
	CARGO=$(CARGO) python3 tests/run.py

simulate: ## A million steps of chance around each of the machines; a history that fails prints its seed
	HALL_SEEDS=500 BETWEEN_SEEDS=500 TENANT_SEEDS=500 $(CARGO) test --package roomful-hall

sdk: sdk/js/dist/roomful-client.js ## The browser client, which the server carries; without Node it goes without

test-api: deps ## The API against its own OpenAPI document, by schemathesis, at length
	ROOMFUL_API_EXAMPLES=200 $(CARGO) test --package roomful --test third_party schemathesis -- --nocapture

test-cluster: deps ## Nodes and their database while everything goes wrong, for ten minutes, with a checker
	CLUSTER_TEST_SECONDS=600 $(CARGO) test --package roomful --test cluster_chance -- --nocapture

sdk/js/dist/roomful-client.js: sdk/js/package-lock.json sdk/js/vite.config.ts sdk/js/served.mjs $(wildcard sdk/js/src/*.ts sdk/js/src/*/*.ts)
	@command -v npm >/dev/null || { echo "Node is missing: the server is built without the browser client"; exit 0; }; \
	$(MAKE) sdk/js/node_modules/.installed && cd sdk/js && npm run build

sdk/js/node_modules/.installed: sdk/js/package-lock.json
	cd sdk/js && npm ci --no-audit --no-fund
	touch $@

generated: ## Write the files anew that are made from tables: settings, and the types of the browser client
	ROOMFUL_REGENERATE=1 $(CARGO) test --package roomful --bin roomful generated

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

public-pages: deps sdk ## Pages that others wrote for the cloud's Web SDK: CLONE=a clone of Tencent-RTC/TRTC_Web
	ROOMFUL_PUBLIC_PAGES=$(abspath $(CLONE)) $(CARGO) test --package roomful --test live public_pages -- --ignored --nocapture

soak: ## Everything hostile at once, for ten minutes
	$(CARGO) test --release --package roomful --test attacks -- --ignored --nocapture soak

bench: ## Print the figures as a table, and write them to bench/results/
	$(CARGO) build --release --workspace
	./target/release/bench

bench-compare: ## What a call costs beside another build of the server: make bench-compare OTHER=path/to/roomful
	$(CARGO) build --release --workspace
	./target/release/bench compare $(OTHER)

bench-media: ## The figures of the forwarding unit, beside a bare sender and, where it is installed, Janus
	$(CARGO) build --release --workspace
	bash bench/namespace.sh ./target/release/bench media

bench-cluster: postgresql ## The figures of several nodes, beside one
	$(CARGO) build --release --workspace
	./target/release/bench cluster cluster-takeover cluster-message cluster-media

lab: deps sdk ## What browsers see on the networks people have (SCENARIO=name,... SECONDS=20), beside Janus; as root
	@command -v janus >/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends janus' \
	  || echo 'Janus cannot be installed: it is not measured beside'
	$(CARGO) build --release --package roomful --package roomful-lab
	$(SUDO) lab/run.sh target/release/lab $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(SECONDS),--seconds $(SECONDS))

lab-short: deps sdk ## Three of its networks for 12 s each, with wide limits, as `make test` runs them at its end; as root
	$(CARGO) build --workspace
	$(CARGO) test --package roomful-lab --test short

deb: sdk ## A Debian package of the server, in target/debian
	@cargo deb --version >/dev/null 2>&1 || $(CARGO) install cargo-deb --locked
	$(CARGO) build --release --package roomful
	rm -rf target/packaging && mkdir -p target/packaging/man
	./target/release/roomful man --out target/packaging/man
	./target/release/roomful completions bash > target/packaging/roomful.bash
	$(CARGO) deb --no-build --package roomful

postgresql:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends postgresql'

deps: postgresql $(THIRD_PARTY)/node_modules/.installed $(THIRD_PARTY)/.venv/.installed $(THIRD_PARTY)/.intl/.installed
	@command -v chromium >/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends chromium'
	@command -v curl >/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends curl'
	@command -v pgbouncer >/dev/null || ls /usr/sbin/pgbouncer >/dev/null 2>&1 || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends pgbouncer'
	@command -v faketime >/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends faketime'
	@command -v ip >/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends iproute2'

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

$(THIRD_PARTY)/node_modules/.installed: $(THIRD_PARTY)/package.json $(THIRD_PARTY)/package-lock.json
	cd $(THIRD_PARTY) && npm ci --no-audit --no-fund
	touch $@

$(THIRD_PARTY)/.venv/.installed: $(THIRD_PARTY)/requirements.txt
	python3 -c 'import ensurepip, venv' 2>/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -qy --no-install-recommends python3-venv'
	python3 -m venv $(THIRD_PARTY)/.venv
	$(THIRD_PARTY)/.venv/bin/pip install -q -r $(THIRD_PARTY)/requirements.txt
	touch $@

# The cloud's international SDK has the same modules as the other one, so it is kept apart.
$(THIRD_PARTY)/.intl/.installed: $(THIRD_PARTY)/requirements-intl.txt $(THIRD_PARTY)/.venv/.installed
	rm -rf $(THIRD_PARTY)/.intl
	$(THIRD_PARTY)/.venv/bin/pip install -q --no-compile --target $(THIRD_PARTY)/.intl -r $(THIRD_PARTY)/requirements-intl.txt
	touch $@

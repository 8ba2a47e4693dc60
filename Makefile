# make demo    run the page-views sample at http://127.0.0.1:3000
# make test    run the tests
# make check   the tests, the linter and the type checker
# make bench   what a session costs beside the original and others, in a quarter of an hour; bench-quick: in a minute
# make profile where the time of one request goes, by function; ARGS='--driver file --path /write'
# PYTHON=…     the Python to use; the virtual environment is made by itself

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint check vectors bench bench-quick profile clean

demo: $(VENV)/installed
	$(BIN)/python samples/page_views.py

test: $(VENV)/installed tests/interop/node_modules/installed
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

# Record again what the tests compare with where there is no Node.
vectors: tests/interop/node_modules/installed
	node tests/interop/record_vectors.js

bench: $(VENV)/bench .venv-peers/installed tests/interop/node_modules/installed
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

bench-quick: $(VENV)/bench tests/interop/node_modules/installed
	$(BIN)/python tests/benchmarks/bench.py --quick --out build/bench $(ARGS)

profile: $(VENV)/installed
	$(BIN)/python tests/benchmarks/profile_request.py $(ARGS)

$(VENV)/bench: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

# Python's other session libraries, which need not get along with our own dependencies.
.venv-peers/installed: tests/benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet -r $<
	touch $@

$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# The npm original, for the tests that run beside it. Without Node those are skipped, and the recorded vectors remain.
tests/interop/node_modules/installed: tests/interop/package-lock.json
	@mkdir -p $(@D)
	@if command -v npm >/dev/null; then cd tests/interop && npm ci --silent --no-audit --no-fund; \
	else echo "no npm: the tests against the original will be skipped"; fi
	@mkdir -p $(@D) && touch $@

clean:
	rm -rf $(VENV) .venv-peers build *.egg-info tests/interop/node_modules .mypy_cache .ruff_cache

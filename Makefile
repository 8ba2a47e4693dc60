# make demo    run the page-views sample at http://127.0.0.1:3000
# make demo-migration    a Node application that moves to Tornado, both behind http://127.0.0.1:3000 (samples/strangler)
# make soak-node    50 users at random over the npm original and ours; MINUTES=60, STORE=file
# make test    run the tests
# make check   the tests, the linter and the type checker
# PYTHON=…     the Python to use; the virtual environment is made by itself

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MINUTES ?= 10

.PHONY: demo demo-migration soak-node test lint check vectors clean

demo: $(VENV)/installed
	$(BIN)/python samples/page_views.py

demo-migration: $(VENV)/installed samples/strangler/node_modules/installed
	$(BIN)/python samples/strangler/demo.py $(ARGS)

test: $(VENV)/installed tests/interop/node_modules/installed samples/strangler/node_modules/installed
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

soak-node: $(VENV)/installed tests/interop/node_modules/installed
	$(BIN)/python tests/interop/soak.py $(MINUTES) $(STORE)

# Record again what the tests compare with where there is no Node.
vectors: tests/interop/node_modules/installed
	node tests/interop/record_vectors.js

$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# The npm original, for the tests and the sample that run beside it. Without Node those tests are skipped, and the
# recorded vectors remain.
%/node_modules/installed: %/package-lock.json
	@mkdir -p $(@D)
	@if command -v npm >/dev/null; then cd $* && npm ci --silent --no-audit --no-fund; \
	else echo "no npm: the tests against the original will be skipped"; fi
	@mkdir -p $(@D) && touch $@

clean:
	rm -rf $(VENV) build *.egg-info tests/interop/node_modules samples/strangler/node_modules .mypy_cache .ruff_cache

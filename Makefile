# make demo    run the shop of samples/shop at http://127.0.0.1:3000; PORT=3001 for another port, DRIVER=file|memory|
#              sqlite|redis|mongodb|postgresql|mysql, with CONNECTION='{"host": "…"}' if the store is elsewhere
# make demo-migration    a Node application that moves to Tornado, both behind http://127.0.0.1:3000 (samples/strangler)
# make demo-express    the same for an application on express-session (samples/strangler-express), with sessions in files;
#              REDIS_URL=redis://127.0.0.1:6379 for Redis
# make soak-node    let 50 users act at random on the npm original and ours; MINUTES=60 for each store, or
#              STORE="file file-encrypted postgresql mysql"
# make test    run the tests, on the versions in constraints.txt; make test-newest on the newest of everything
# make pins    take the newest versions into constraints.txt; needs each Python that is supported
# make check   the tests, the linter and the type checker
# make package    build dist/, check it, and run the README's smallest application, the tests and the demo from it
# make fuzz    look for inputs that break it, MINUTES=5 for each of the targets in tests/fuzz, or TARGETS="path cookie"
# make audit   look for known holes in the dependencies; asks pypi.org
# make soak    race, kill and mix for MINUTES=5, CONFIG='{…}' for another driver's store
# make endurance    mixed traffic with aborts, log-ins, WebSockets and sweeps for MINUTES=10 on all drivers, or on one:
#              DRIVER=redis; SEED=7 repeats the choices of a run
# make bench   measure a session's cost beside the original and others, in two hours; bench-quick: in a minute;
#              ARGS='--only one,far --package FOLDER' beside an older checkout
# make bench-hostile    measure the cost of sessions made up to be expensive, at one size and at twice that
# make bench-capacity    measure what a store carries, for docs/capacity.md, in ten minutes; ARGS='--calculate --clicks 50'
#              calculates with other assumptions
# make bench-sweeps    measure what removing expired files costs the requests beside it
# make bench-stalls    measure for how long a large session keeps other requests waiting
# make profile show the time of one request by function; ARGS='--driver file --path /write'
# make instructions    count the instructions of a request, by valgrind; ARGS='--driver file --size 64000'
# PYTHON=…     the Python to use; make sets up the virtual environment

PYTHON ?= python3
VENV ?= .venv
MINUTES ?= 5
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --build-constraint constraints.txt
# The package with the client of each store; a group of pyproject.toml follows.
EDITABLE := --editable '.[postgresql,mysql,redis,cryptography]' --group
DRIVER ?= file
CONNECTION ?= {}
PORT ?=
DEMO := .venv-demo
# The client of the demo's store, an extra of that name in setup.py; empty if every installation has it.
DEMO_EXTRA := $(filter redis postgresql mysql,$(DRIVER))
NODE_SAMPLES := samples/strangler/node_modules/installed samples/strangler-express/node_modules/installed
DEMO_INSTALL = install -qq --disable-pip-version-check --no-compile --constraint constraints.txt \
	--editable '.$(patsubst -%,[%],$(@:$(DEMO)/installed%=%))'
export CONFIG

.PHONY: demo demo-migration demo-express test test-newest pins screenshots lint check package fuzz audit
.PHONY: soak soak-node endurance vectors bench bench-quick bench-hostile bench-capacity bench-sweeps bench-stalls profile clean instructions

demo: $(DEMO)/installed$(DEMO_EXTRA:%=-%)
	@$(DEMO)/bin/python samples/shop/shop.py $(PORT) --driver '$(DRIVER)' --connection '$(CONNECTION)' $(ARGS)

demo-migration: $(DEMO)/installed samples/strangler/node_modules/installed
	@$(DEMO)/bin/python samples/strangler/demo.py $(PORT) $(ARGS)

demo-express: $(DEMO)/installed$(if $(REDIS_URL),-redis) samples/strangler-express/node_modules/installed
	@$(DEMO)/bin/python samples/strangler-express/express_demo.py $(PORT) $(ARGS)

test: $(VENV)/installed tests/interop/node_modules/installed $(NODE_SAMPLES)
	$(BIN)/python -m pytest $(ARGS)

# Its environment is made again each time: pip would keep packages that are already installed.
test-newest: tests/interop/node_modules/installed $(NODE_SAMPLES)
	rm -rf $(VENV)-newest
	$(PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-newest/bin/python -m pip install --quiet $(EDITABLE) dev
	$(VENV)-newest/bin/python -m pytest $(ARGS)

pins:
	$(PYTHON) .ci/pins.py $$(.ci/pythons)

# The browser tests make the pictures in docs/. Best with the font Inter: apt-get install fonts-inter
screenshots: $(VENV)/installed
	SCREENSHOTS=1 $(BIN)/python -m pytest tests/browser

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive node_session

check: lint test

# The wheel is made from the sdist, so that nothing is missing there either.
package: $(VENV)/installed
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/python .ci/try_package.py dist

fuzz: $(VENV)/installed
	$(BIN)/python tests/fuzz/run.py --seconds $$(awk "BEGIN { print $(MINUTES) * 60 }") $(TARGETS)

# With --strict, a package that cannot be looked up is a failure, too. The list excludes this one, which is not on
# pypi.org.
audit: $(VENV)/installed
	$(BIN)/python -m pip freeze --exclude-editable > .audit
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement .audit

soak: $(VENV)/installed tests/interop/node_modules/installed
	$(BIN)/python tests/soak.py --minutes $(MINUTES)

soak-node: $(VENV)/installed tests/interop/node_modules/installed
	PYTHONPATH=tests $(BIN)/python tests/interop/soak.py $(MINUTES) $(STORE)

# Only the command line changes these, as they have other defaults here.
endurance: MINUTES = 10
endurance: DRIVER =
endurance: SEED =
endurance: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m endurance.run --minutes $(MINUTES) $(SEED:%=--seed %) $(DRIVER)

# Record again the vectors that the tests compare with if there is no Node.
vectors: tests/interop/node_modules/installed
	node tests/interop/record_vectors.js
	node tests/interop/record_express_vectors.js

bench: $(VENV)/bench .venv-peers/installed tests/interop/node_modules/installed tests/benchmarks/node_modules/installed
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

bench-quick: $(VENV)/bench tests/interop/node_modules/installed
	$(BIN)/python tests/benchmarks/bench.py --quick --out build/bench $(ARGS)

bench-hostile: $(VENV)/installed
	$(BIN)/python tests/benchmarks/hostile.py

bench-capacity: $(VENV)/bench
	$(BIN)/python tests/benchmarks/capacity.py $(ARGS)

bench-sweeps: $(VENV)/installed
	$(BIN)/python tests/benchmarks/sweeps.py

bench-stalls: $(VENV)/installed
	$(BIN)/python tests/benchmarks/stalls.py

profile: $(VENV)/installed
	$(BIN)/python tests/benchmarks/profile_request.py $(ARGS)

instructions: $(VENV)/installed
	$(BIN)/python tests/benchmarks/instructions.py $(ARGS)

$(VENV)/bench: $(VENV)/installed
	$(INSTALL) $(EDITABLE) bench
	touch $@

# Python's other session libraries; an environment of their own, since they may conflict with our dependencies.
.venv-peers/installed: tests/benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet -r $<
	touch $@

# pip first, since an older one lacks --build-constraint and --group.
$(VENV)/installed: setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(INSTALL) $(EDITABLE) dev
	touch $@

# The demos' environment has the library and what it needs, since nobody waits a minute for a first page. To put a pip into
# it and to compile modules that the demo may never import would double the time. So $(PYTHON)'s own pip installs, if it is
# there and knows --python.
$(DEMO)/installed $(DEMO)/installed-redis $(DEMO)/installed-postgresql $(DEMO)/installed-mysql: setup.py constraints.txt
	@echo "Installing the library and what it needs into $(DEMO): some seconds and 25 MB, for the first time only."
	@if $(PYTHON) -c 'import pip; assert int(pip.__version__.split(".")[0]) >= 23' 2>/dev/null; \
	then $(PYTHON) -m venv --without-pip $(DEMO) && $(PYTHON) -m pip --python $(DEMO)/bin/python $(DEMO_INSTALL); \
	else $(PYTHON) -m venv $(DEMO) && $(DEMO)/bin/python -m pip $(DEMO_INSTALL); \
	fi
	@touch $@

# The npm original and express-session, for the tests and the samples that run beside them, and Node's peers for the
# benchmarks. Without Node those tests are skipped, and the recorded vectors remain.
%/node_modules/installed: %/package-lock.json
	@mkdir -p $(@D)
	@if command -v npm >/dev/null; then cd $* && npm ci --silent --no-audit --no-fund; \
	else echo "no npm: what is beside Node's packages will be skipped"; fi
	@mkdir -p $(@D) && touch $@

clean:
	rm -rf $(VENV) $(VENV)-newest $(DEMO) .venv-peers build dist *.egg-info tests/interop/node_modules
	rm -rf $(dir $(NODE_SAMPLES)) tests/benchmarks/node_modules .mypy_cache .ruff_cache

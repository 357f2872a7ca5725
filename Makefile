# Two commands matter: `make demo` and `make test`. Each sets up all that it needs.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
PROCESSES ?= 2
UV ?= uv==0.13.9
BIN := $(VENV)/bin
PYTEST := -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder
SHOP_PYTEST := -m pytest -c tests/shops/pytest.ini
export HF_HUB_OFFLINE ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
PIP := $(BIN)/python -m pip

PY = $$(find mmsearch_app example_shop tests benchmarks tools -name '*.py' -not -path '*/migrations/*') manage.py
TEMPLATES = $$(find mmsearch_app example_shop tests -path '*/templates/*' -name '*.html')
OLDEST_DJANGO = 5.2

.PHONY: help demo drawn test faults faults-table test-shops test-newest lint fix types docs lock upgrade messages meanings screenshot tables \
	benchmarks clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The catalogue is drawn while the rest is installed. glibc would give each of the web server's threads
# its own pool of memory: one for all takes 250 MB less after a hundred searches, at the same speed.
demo: ## set up and run the example shop with a working search
	@$(MAKE) --no-print-directory --jobs=2 $(VENV)/.starter drawn
	MALLOC_ARENA_MAX=1 $(BIN)/python manage.py demo --port $(PORT)

drawn: $(VENV)/.drawing
	@$(BIN)/python -m example_shop.drawing "$${SHOP_DATA:-var}/media"

test: $(VENV)/.dev ## set up and run every test that this machine can run
	$(BIN)/python $(PYTEST)

test-shops: .venv-shops/.shops ## the tests in a real django-oscar and a real Wagtail, in .venv-shops
	.venv-shops/bin/python $(SHOP_PYTEST) tests/shops/oscar --ds tests.shops.oscar.settings
	.venv-shops/bin/python $(SHOP_PYTEST) tests/shops/wagtail --ds tests.shops.wagtail.settings

faults: $(VENV)/.dev ## break a shop with real servers in many ways, and compare it with its index
	$(BIN)/python -m tests.faults --quiet

faults-table: $(VENV)/.dev ## the same, and write the table of docs/reference/faults.md
	$(BIN)/python -m tests.faults --quiet --write

test-newest: ## the same with the newest release of every dependency, in .venv-newest
	$(MAKE) VENV=.venv-newest .venv-newest/bin/pip
	.venv-newest/bin/python -m pip install --quiet --upgrade pip
	.venv-newest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager \
		-c constraints.txt -e . --group test
	.venv-newest/bin/python $(PYTEST)

lint: $(VENV)/.dev types ## style, types, templates, spelling, migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djade --check --target-version $(OLDEST_DJANGO) $(TEMPLATES)
	$(BIN)/django-upgrade --check --target-version $(OLDEST_DJANGO) $(PY)
	$(BIN)/codespell
	$(BIN)/python manage.py makemigrations --check --dry-run

types: $(VENV)/.dev ## types alone
	$(BIN)/mypy

fix: $(VENV)/.dev ## let the tools of `make lint` rewrite what they can
	-$(BIN)/django-upgrade --target-version $(OLDEST_DJANGO) $(PY)
	-$(BIN)/djade --target-version $(OLDEST_DJANGO) $(TEMPLATES)
	-$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## the documentation, in build/docs; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env --quiet -b html docs build/docs

lock: .venv-lock/.uv ## bring locks/ up to date with pyproject.toml; versions that fit stay
	.venv-lock/bin/python tools/lock.py

upgrade: .venv-lock/.uv ## lock the newest release of every dependency
	.venv-lock/bin/python tools/lock.py --upgrade

messages: $(VENV)/.dev ## update and compile the catalogues of texts
	$(BIN)/python tools/messages.py

meanings: $(VENV)/.dev ## the meanings of class names that the starter embedder ships
	$(BIN)/python -m tools.meanings

screenshot: $(VENV)/.dev ## the README's picture
	$(BIN)/python tools/screenshot.py

tables: $(VENV)/.dev ## the tables of the documentation
	$(BIN)/python tools/tables.py

benchmarks: $(VENV)/.dev ## every figure of the documentation and more
	$(BIN)/python -m benchmarks.starter
	$(BIN)/python -m benchmarks.index
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.ledger
	$(BIN)/python -m benchmarks.scale_arithmetic
	$(BIN)/python -m benchmarks.scale_ledger
	$(BIN)/python -m benchmarks.scale --sizes 10000 100000
	$(BIN)/python -m benchmarks.evidence

clean: ## remove the environments, the demo's data and all that was built
	rm -rf $(VENV) .venv-newest .venv-shops .venv-lock .nox var build dist *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BIN)/pip: | $(BIN)/python # missing where the line above was stopped, or had no ensurepip
	test -e $@ || $(BIN)/python -m ensurepip --default-pip >/dev/null

# Python compiles what is imported; pip would compile everything, which takes longer than installing.
define install
	$(PIP) install --quiet --no-compile --no-deps --require-hashes -r locks/$(1).txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
endef

# What draws the catalogue.
$(VENV)/.drawing: locks/demo.txt | $(BIN)/pip
	awk '/^[a-z]/ {wanted = /^(numpy|pillow)==/} wanted' $< | \
		$(PIP) install --quiet --no-compile --no-deps --require-hashes -r /dev/stdin
	@touch $@

# No `pip check` here: two packages ask for libraries that the demo never imports (tools/lock.py).
$(VENV)/.starter: pyproject.toml locks/demo.txt | $(VENV)/.drawing
	$(call install,demo)
	@touch $@

# torch comes by version, not by hash, since a machine may offer its own build (tools/lock.py).
$(VENV)/.dev: pyproject.toml locks/dev.txt locks/torch.txt | $(BIN)/pip
	$(PIP) install --quiet -c locks/torch.txt torch
	$(call install,dev)
	$(PIP) check
	@touch $@ $(VENV)/.starter

.venv-shops/.shops: pyproject.toml locks/shops.txt
	$(MAKE) VENV=.venv-shops .venv-shops/bin/pip
	.venv-shops/bin/python -m pip install --quiet --no-deps --require-hashes -r locks/shops.txt
	.venv-shops/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	.venv-shops/bin/python -m pip check
	@touch $@

.venv-lock/.uv: Makefile
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet '$(UV)'
	@touch $@

# Two commands matter: `make demo` and `make test`. Each sets up all that it needs.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1

.PHONY: demo test lint messages screenshot tables benchmarks clean

demo: $(VENV)/.starter ## set up and run the example shop with a working search
	$(BIN)/python manage.py demo --port $(PORT)

test: $(VENV)/.dev ## set up and run every test that this machine can run
	$(BIN)/python -m pytest

lint: $(VENV)/.dev ## style, types, migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python manage.py makemigrations --check --dry-run

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BIN)/pip: | $(BIN)/python # missing where the line above was stopped, or had no ensurepip
	$(BIN)/python -m ensurepip --default-pip >/dev/null

$(VENV)/.starter: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[starter]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.starter

messages: $(VENV)/.dev ## update and compile the catalogues of texts
	$(BIN)/python docs/messages.py

screenshot: $(VENV)/.dev ## the README's picture
	$(BIN)/python docs/screenshot.py

tables: $(VENV)/.dev ## the README's tables
	$(BIN)/python docs/tables.py

benchmarks: $(VENV)/.dev ## every figure of the README and more
	$(BIN)/python -m benchmarks.starter
	$(BIN)/python -m benchmarks.index
	$(BIN)/python -m benchmarks.ledger
	$(BIN)/python -m benchmarks.evidence

clean: ## remove the environment and the demo's data
	rm -rf $(VENV) var build dist *.egg-info

# Everything from a fresh clone: each target sets up what it needs, once, into .venv.
# Needs Python 3.11 or newer and make; uses uv when it is there, plain venv and pip when not.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SEEDS  ?= 0:22000
JOBS   ?= 2
FUZZ   ?= 5
UV     := $(shell command -v uv 2>/dev/null)
# Where a machine forbids Python its caches, each of a thousand processes of the tests would compile the package again.
export PYTHONDONTWRITEBYTECODE :=
# tests/conftest.py takes this database instead of starting its own: ONCEPAY_TEST_POSTGRES_URL

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench storm drill prove lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.ready ## play every story against the sandbox, then stay up (ONCE=1: exit instead)
	@$(BIN)/oncepay demo $(if $(filter 1,$(ONCE)),--once)

test: $(VENV)/.ready-dev ## all tests, two at a time (ARGS="-k name" for some, JOBS=2)
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

check: $(VENV)/.ready-dev ## format, lint, types, floors, tidiness
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted; cure: $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary src tests docs examples $(wildcard bench)
	@$(BIN)/lint-imports --no-logo >$(VENV)/.floors 2>&1 || { cat $(VENV)/.floors >&2; exit 1; }
	@$(BIN)/python -m pytest -q tests/tidy

bench: $(VENV)/.ready-dev ## the whole path at saturation and paced, on SQLite and PostgreSQL
	@$(BIN)/python -m bench $(ARGS)

storm: $(VENV)/.ready-dev ## 2,000 payments over all channels, every fault at 5 % (ARGS="--seed 1 --payments 200")
	@$(BIN)/python -m tests.storm.mixed $(ARGS)

drill: $(VENV)/.ready-dev ## 10 minutes of real processes that are killed, then the audit (ARGS="--minutes 1 --seed 3")
	@$(BIN)/oncepay drill $(ARGS)

prove: $(VENV)/.ready-dev ## small worlds, simulated worlds, deaths at every point, planted bugs, fuzzing (SEEDS=0:22000 JOBS=2 FUZZ=5)
	@$(BIN)/python -m oncepay.testing.explore --all --jobs $(JOBS)
	@$(BIN)/python -m oncepay.testing.explore --planted
	@$(BIN)/python -m oncepay.testing.sim --planted
	@$(BIN)/python -m tests.planted
	@$(BIN)/python -m oncepay.testing.sim --sweep --pairs 100
	@$(BIN)/python -m oncepay.testing.sim --seeds $(SEEDS) --jobs $(JOBS)
	@$(BIN)/python -m tests.fuzz --seconds $(FUZZ)

# No index address, no path of the machine that ran it: the files are the same wherever they are made.
COMPILE = $(firstword $(UV) $(wildcard $(BIN)/uv) uv) pip compile --quiet --universal --python-version 3.11 \
          --generate-hashes --no-header --no-emit-index-url --no-emit-find-links $(if $(filter 1,$(UPGRADE)),--upgrade)
LOCK    = $(COMPILE) pyproject.toml --group build --extra demo --extra postgres

lock: ## make requirements*.lock again (UPGRADE=1: with the newest versions)
	@test -n "$(UV)" || test -x $(BIN)/uv || { echo "make lock needs uv; cure: $(BIN)/python -m pip install uv" >&2; exit 1; }
	$(LOCK) --output-file requirements.lock
	$(LOCK) --constraint requirements.lock --extra dev --output-file requirements-dev.lock
	$(COMPILE) --group alipay-sdk --output-file requirements-alipay-sdk.lock

# --- setting up -------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "oncepay needs Python 3.11 or newer, and $(PYTHON) is not; cure: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
	 elif [ -n "$(UV)" ]; then "$(UV)" venv --quiet --seed --python "$$(command -v $(PYTHON))" $(VENV); \
	 else echo "$(PYTHON) cannot make a virtual environment; cure: apt-get install python3-venv (or install uv)" >&2; exit 1; fi

ifneq ($(UV),)
PIP = "$(UV)" pip install --quiet --python $(BIN)/python
else
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

$(VENV)/.installed: requirements.lock | $(BIN)/python
	@echo "Setting up $(VENV) (once, until requirements.lock changes) ..."
	@$(PIP) --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock | $(BIN)/python
	@echo "Setting up $(VENV) for tests (once, until requirements-dev.lock changes) ..."
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

# The official SDK beside the environment, not in it: its module is called as python-alipay-sdk's. Not compiled: it has
# tens of thousands of modules, and a test imports a few. The stamp lies inside, so that both go together.
ALIPAY_SDK := $(VENV)/alipay-sdk-python

$(ALIPAY_SDK)/.installed: requirements-alipay-sdk.lock | $(BIN)/python
	@echo "Setting up $(ALIPAY_SDK) (once, until requirements-alipay-sdk.lock changes) ..."
	@rm -rf $(ALIPAY_SDK)
	@$(PIP) --require-hashes --no-compile --target $(ALIPAY_SDK) -r requirements-alipay-sdk.lock
	@touch $@

# The package itself, editable, from the sources that stand here: only its commands and metadata can go stale.
$(VENV)/.ready: $(VENV)/.installed pyproject.toml
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.installed-dev pyproject.toml | $(ALIPAY_SDK)/.installed
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

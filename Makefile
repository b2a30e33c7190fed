# Everything a newcomer needs: `make run` and `make test`. Both need Python 3.11 or later, and nothing else.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Installed from the lock, every file by its hash; our own code stays where it is.
RUN_READY := $(VENV)/.ready-to-run
DEV_READY := $(VENV)/.ready-to-develop

COMPILE := $(VENV)-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --extra server --extra embedded pyproject.toml requirements/build.in

.PHONY: help run test lint format check lock clean

help: ## What there is to make
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | sort | expand -t 10

run: $(RUN_READY) ## Serve on this machine, stores and demo user included
	@exec $(BIN)/stakehold dev

test: $(DEV_READY) ## Run the whole suite
	@$(BIN)/python -m pytest

lint: $(DEV_READY) ## Lint, types, and which room may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(DEV_READY) ## Format the code
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

check: lint test ## What CI runs

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed, with venv (on Debian: python3-venv)." >&2; exit 1; }
	@echo "Making the environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(RUN_READY): requirements/run.txt pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing what it runs on ..."
	@$(PIP) install --require-hashes --only-binary=:all: -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_READY): requirements/dev.txt $(RUN_READY)
	@echo "Installing what it is tested with ..."
	@$(PIP) install --require-hashes --only-binary=:all: -r requirements/dev.txt
	@touch $@

lock: ## Pin the newest versions that pyproject.toml allows, with their hashes
	@test -x $(VENV)-lock/bin/uv || { $(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/python -m pip install --quiet uv; }
	@$(COMPILE) --output-file requirements/run.txt
	@$(COMPILE) --extra dev --constraints requirements/run.txt --output-file requirements/dev.txt

clean: ## Remove the environment and caches; data in .stakehold stays
	@rm -rf $(VENV) $(VENV)-lock .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# What a person types. Needs make and Python 3.11 or later; everything else is installed into .venv from the
# locks in requirements/, every file checked against its hash.
#
#   make run     PostgreSQL, Valkey, a demo user and the service, on http://127.0.0.1:8000 (PORT=9000 make run)
#   make test    all tests, in two processes; make test ARGS="tests/unit/domain -q"
#   make soak    faults under load for SOAK_MINUTES (30); SEED=… repeats what a run did
#   make soak-api  more generated requests, EXAMPLES (100) an operation; SEED=… repeats them
#   make coverage  all tests, and the branches of src/ that they do not reach
#   make test-cockroach  the database's tests on the cluster that COCKROACH_URL names (tests/support/cockroach.py)
#   make lint    layout, lint, types, imports
#   make bench   how fast it is, beside what it rests on (needs wrk); docs/performance.md says what it measures
#   make bench-worker  what a request costs on Workers: bundle, import, CPU, memory, in the tests' harness
#   make bench-settlement  how fast matured stakes are settled by four processes, killed on the way
#   make deploy  check everything a deployment to Cloudflare Workers rests on, then deploy (docs/deploy.md);
#                make deploy ARGS=--dry-run stops before
#   make worker-dev  the Worker on this machine, in Cloudflare's own runtime (docs/deploy.md)
#   make smoke URL=https://…  what a client sees of a deployment, checked (docs/deploy.md)
#   make lock    choose versions anew, for pyproject.toml as it is

VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
UV_VERSION := 0.13.9
LOCK := $(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --quiet --upgrade pyproject.toml requirements/build.in
# What is bundled for Workers, for their Python. asyncpg is not from an index: tests/worker/wheels/README.md.
LOCK_WORKER := $(VENV)/bin/uv pip compile --python-version 3.14 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-package asyncpg --quiet --upgrade pyproject.toml requirements/worker.in \
	--constraints requirements/run.txt --output-file requirements/worker.txt
ARGS ?=

.PHONY: run test coverage test-cockroach soak soak-api lint bench bench-worker bench-settlement deploy worker-dev smoke lock
.DELETE_ON_ERROR:

run: $(VENV)/run.stamp
	@exec $(VENV)/bin/stakehold dev

test: $(VENV)/dev.stamp
	$(VENV)/bin/python -m tests.side_by_side $(ARGS)

soak: $(VENV)/dev.stamp
	$(VENV)/bin/python -m tests.faults.soak

soak-api: $(VENV)/dev.stamp
	STAKEHOLD_SOAK_EXAMPLES=$${EXAMPLES:-100} STAKEHOLD_TEST_SEED=$(SEED) $(VENV)/bin/pytest tests/api/test_campaign.py

coverage: $(VENV)/dev.stamp
	$(VENV)/bin/coverage erase
	$(VENV)/bin/coverage run -m pytest $(ARGS)
	$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage report --fail-under=0
	$(VENV)/bin/coverage json --quiet --fail-under=0 -o - | $(VENV)/bin/python .ci/branches

# What looks at PostgreSQL's own tables, or kills the server, stays with the embedded one.
test-cockroach: $(VENV)/dev.stamp
	@test -n "$$COCKROACH_URL" || { echo "COCKROACH_URL names no cluster." >&2; exit 2; }
	$(VENV)/bin/pytest tests/cockroach tests/unit/database --ignore tests/unit/database/test_pool.py \
		--ignore tests/unit/database/test_recovery.py $(ARGS)

lint: $(VENV)/dev.stamp
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/dev.stamp
	$(VENV)/bin/python -m bench $(ARGS)

bench-worker: $(VENV)/dev.stamp
	$(VENV)/bin/python -m bench.worker $(ARGS)

bench-settlement: $(VENV)/dev.stamp
	$(VENV)/bin/python -m bench.settlement $(ARGS)

deploy: $(VENV)/run.stamp deploy/node/node_modules
	$(VENV)/bin/python -m deploy.deploy $(ARGS)

# Settings and secrets come from build/deploy/.dev.vars or the environment; Hyperdrive's place takes DATABASE_URL.
worker-dev: $(VENV)/run.stamp deploy/node/node_modules
	$(VENV)/bin/python -m deploy.dev $(ARGS)

smoke: $(VENV)/run.stamp
	@test -n "$(URL)" || { echo "Say where it is served: make smoke URL=https://…" >&2; exit 2; }
	$(VENV)/bin/python -m deploy.smoke "$(URL)"

# Without the scripts that packages would run at their installation: nothing here needs them.
deploy/node/node_modules: deploy/node/package-lock.json
	npm ci --prefix deploy/node --ignore-scripts --no-audit --no-fund
	@touch $@

lock: $(VENV)/dev.stamp
	$(PIP) install uv==$(UV_VERSION)
	$(LOCK) --extra server --extra embedded --output-file requirements/run.txt
	$(LOCK) --extra server --extra embedded --extra dev --constraints requirements/run.txt \
		--output-file requirements/dev.txt
	$(LOCK_WORKER)

$(VENV)/run.stamp: requirements/run.txt pyproject.toml Makefile | $(VENV)/bin/python
	@echo "Installing what Stakehold needs into $(VENV) ..." >&2
	$(PIP) install --require-hashes --requirement requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@echo "Installing what its tests need into $(VENV) ..." >&2
	$(PIP) install --require-hashes --requirement requirements/dev.txt
	@touch $@

# The first Python that is new enough; PYTHON names another.
$(VENV)/bin/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			"$$python" -m venv --clear $(VENV) && exit 0; \
			rm -rf $(VENV); \
			echo "$$python cannot make a virtual environment: install its venv and pip (python3-venv on Debian)." >&2; \
			exit 1; \
		fi; \
	done; \
	echo "Stakehold needs Python 3.11 or later: install it, or name it: make run PYTHON=/path/to/python3" >&2; exit 1

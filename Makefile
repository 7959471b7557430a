# make demo    a real task over a real small repository, honest and cheating agents, a verified ledger
# make test    all tests, within minutes
# make check   format, lint, types, layers, tests
# make bench   this machine against the budgets
# make soak    the crash plan and the simulation for SOAK_MINUTES (30): more seeds, more kills, one table of counts
# make long    the single tests that take long

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
STAMP := $(VENV)/.installed

.PHONY: demo test check lint bench soak long build clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/autopilot demo

test: $(STAMP)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not soak"

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

bench: $(STAMP)
	$(BIN)/python -m pytest -q tests/acceptance/bench --benchmark-only --benchmark-columns=median,mean,rounds

soak: $(STAMP)
	$(BIN)/python tests/acceptance/crash/plan/run.py

long: $(STAMP)
	$(BIN)/python -m pytest -q -m soak --timeout 7200

build: $(STAMP)
	$(BIN)/python -m build --outdir dist

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

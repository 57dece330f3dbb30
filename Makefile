# make demo | test | lint | types | ci: each one creates .venv and installs what it needs, once.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OVERLAY := .overlay
JOBS ?= 2
COUNT ?= 120
SEED ?= 0
MINUTES ?= 10
# The first interpreter that runs and is new enough; override with make PYTHON=...
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
SOURCES := gensr domains generators conf benchmarks scripts tests setup.py

.PHONY: help setup demo test lint format types mutants faults fuzz ci clean
.DELETE_ON_ERROR:

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed; install it or give PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[cluster,codecs,test,lint]"
	@touch $@

setup: $(STAMP) ## create .venv and install gensr, editable, with everything that tests need

demo: $(STAMP) ## super-resolve one example of each domain into demo/
	OMP_NUM_THREADS=1 $(BIN)/python scripts/demo.py demo

test: $(STAMP) ## run all tests
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -P -m pytest -q -n $(JOBS) --dist loadfile $(PYTEST)

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# Type checkers cannot follow the import hook of an editable install, so they see the layout of the wheel as links.
types: $(STAMP) ## mypy --strict on the layout that a wheel has
	@rm -rf $(OVERLAY) && mkdir -p $(OVERLAY)/gensr && ln -s ../scripts $(OVERLAY)
	@cd $(OVERLAY)/gensr && ln -s ../../gensr/[!_]* ../../gensr/_*.py ../../domains ../../generators ../../conf ../../benchmarks .
	cd $(OVERLAY) && ../$(BIN)/mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache/wheel gensr scripts

mutants: $(STAMP) ## plant COUNT mistakes in the glue (drawn with SEED) and see which of them no test notices
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -P scripts/mutants.py --count $(COUNT) --seed $(SEED)

faults: $(STAMP) ## fail the machine under COUNT runs (drawn with SEED): killed, disk full, little memory, damaged stores ...
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python scripts/faults.py --count $(COUNT) --seed $(SEED)

fuzz: $(STAMP) ## spoil good files of every format for MINUTES (with SEED) and keep what does not end in one clear line
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python scripts/fuzz.py --minutes $(MINUTES) --seed $(SEED)

ci: ## what .ci/run runs
	./.ci/run

clean: ## remove everything that make made
	rm -rf $(VENV) $(OVERLAY) build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

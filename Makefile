# ocenter: `make run` starts it, `make demo` with a simulated fleet, `make test` proves it.
# Needs Python 3.11 or newer with venv, make and git. Everything else comes from pinned wheels.

# PYTHON names the interpreter to make the environment of; without it .ci/python chooses one.
UV_VERSION := 0.13.9
TEST_WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest -q
CHECKED := ocenter pools connectors tests manage.py
export PYTHON UV_VERSION VENV
# Else each of the hundreds of processes that tests start compiles all it imports again, 2.5 s of a core.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run demo clean-demo test test-full fuzz lint lock bench secrets
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(VENV)/runtime  ## start ocenter here and print its address
	@$(BIN)/python manage.py up

demo: $(VENV)/runtime  ## the same with a simulated fleet
	@$(BIN)/python manage.py up --demo

clean-demo: $(VENV)/runtime  ## remove the simulated fleet and nothing else
	@$(BIN)/python manage.py demo --remove

test: $(VENV)/development  ## unit, database and contract tests
	$(PYTEST) -n $(TEST_WORKERS) -m "not browser and not backend and not crash and not slow and not fuzz"

test-full: $(VENV)/development  ## browser, backend, crash, slow and fuzz tests, each group with its time
	@$(BIN)/python -m tests.groups browser backend crash slow fuzz

fuzz: $(VENV)/development  ## ask the API 20,000 made-up requests: make fuzz [REQUESTS=20000] [SEED=...]
	OCENTER_TEST_FUZZ_REQUESTS=$(or $(REQUESTS),20000) OCENTER_TEST_FUZZ_SEED=$(SEED) $(PYTEST) -s -m fuzz

lint: $(VENV)/development  ## style, types, import rules, templates, translations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports
	$(BIN)/djlint templates --lint --quiet
	$(BIN)/python -m tests.lint_translations

bench: $(VENV)/development  ## measure: make bench [ONLY=sync,pages] [QUICK=1]
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

lock: $(VENV)/development  ## pin and hash what requirements*.in name
	$(VENV)/uv/bin/uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --quiet requirements.in -o requirements.txt
	$(VENV)/uv/bin/uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --quiet requirements-dev.in -c requirements.txt -o requirements-dev.txt

secrets:  ## make the files that docker-compose.yml reads passwords from
	@$(or $(PYTHON),python3) -m ocenter.compose

# Two sets in one environment. The development set holds the runtime set, so it never shrinks back to that.
$(VENV)/runtime: requirements.txt
	@.ci/venv runtime

$(VENV)/development: requirements-dev.txt
	@.ci/venv development

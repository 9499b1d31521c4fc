# The commands of a checkout. They need make and a Python >= 3.11 with its venv module, nothing else.

BIN := .venv/bin
# The first of these that is 3.11 or newer and has venv. Another: make setup PYTHON=/path/to/python3.12
PYTHON ?= python3.14 python3.13 python3.12 python3.11 python3
# Test processes, and what they run: make test WORKERS=1 TESTS=tests/rules
WORKERS ?= 2
TESTS ?= tests
# More options for the command behind run, test, bench, faults or soak: make run ARGS="--port 9000"
ARGS ?=

pip_install := $(BIN)/python -m pip install -qq --no-input --disable-pip-version-check
locked := --require-hashes --only-binary :all: --requirement
# Compiles nothing and needs no network: the build backend is in the lock.
package := --no-deps --no-index --no-build-isolation --editable .

# One stamp per set of packages. Both sets live in one .venv, and the larger contains the smaller.
runtime := .venv/.runtime-installed
dev := .venv/.dev-installed

# Making .venv was interrupted, or the interpreter it points to is gone: then make it anew.
venv_missing := $(shell test -x $(BIN)/python && test -x $(BIN)/pip || echo venv)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:
.PHONY: help run test test-rules setup check format-check lint audit types imports format lock openapi errors bench faults soak clean venv

help:
	@echo "make run         start Milepost with the demo data at http://127.0.0.1:8080"
	@echo "make test        run every test"
	@echo "make test-rules  run the quick part: the rules alone, without a database"
	@echo "make check       formatting, lint, types, imports and every test: what CI runs"
	@echo "make format      format the code and apply the safe fixes"
	@echo "make audit       bandit, and pip-audit where there is an advisory database"
	@echo "make setup       only the set-up of .venv, which the others do by themselves"
	@echo "make lock        renew requirements/*.txt after a change of pyproject.toml (UPGRADE=1: newest releases)"
	@echo "make openapi     renew openapi.json"
	@echo "make errors      renew docs/errors.md"
	@echo "make bench       measure everything beside rivals (45 minutes; ARGS=--quick: three; ARGS=--help)"
	@echo "make faults      kill the service at 200 random moments under load (10 minutes)"
	@echo "make soak        20 minutes of mixed load: does anything grow without bound?"
	@echo "make clean       remove .venv and every cache; the data in .milepost stays"

run: $(runtime)
	@exec $(BIN)/milepost serve --demo --data .milepost $(ARGS)

test: $(dev)
	@echo "Running $(TESTS) in $(WORKERS) processes ..."
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(TESTS) $(ARGS)

test-rules: $(dev)
	@$(BIN)/python -m pytest tests/rules $(ARGS)

setup: $(dev)
	@echo "Ready: every package of requirements/dev.txt is in .venv."

# The cheap checks first; pytest's closing line last.
check: format-check lint types imports test

format-check: $(dev)
	@echo "Checking the formatting ..."
	@$(BIN)/ruff format --check --quiet . || { echo "make format mends this."; $(BIN)/ruff format --check .; }

lint: $(dev)
	@echo "Checking the style ..."
	@$(BIN)/ruff check --quiet .
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src migrations

# Needs a package index with an advisory database, which CI may not have.
audit: lint
	@$(BIN)/pip-audit --requirement requirements/runtime.txt --require-hashes --disable-pip

types: $(dev)
	@echo "Checking the types ..."
	@$(BIN)/mypy --no-error-summary

imports: $(dev)
	@echo "Checking the directions of imports ..."
	@$(BIN)/lint-imports --no-logo --config pyproject.toml

format: $(dev)
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock:
	@requirements/lock $(if $(UPGRADE),--upgrade)

# Written aside first: a command that fails leaves the committed file as it was.
openapi: $(runtime)
	@$(BIN)/milepost openapi > openapi.json.new || { rm -f openapi.json.new; exit 1; }
	@mv openapi.json.new openapi.json

errors: $(runtime)
	@$(BIN)/milepost errors > docs/errors.md.new || { rm -f docs/errors.md.new; exit 1; }
	@mv docs/errors.md.new docs/errors.md

bench: $(dev)
	@$(BIN)/python -m benchmarks $(ARGS)

faults: $(dev)
	@$(BIN)/python -m tests.faults $(ARGS)

soak: $(dev)
	@$(BIN)/python -m benchmarks.soak $(ARGS)

clean:
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find src tests migrations benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(runtime): requirements/runtime.txt pyproject.toml $(venv_missing)
	@echo "Installing the locked packages (about 20 s the first time) ..."
	@$(pip_install) $(locked) requirements/runtime.txt
	@$(pip_install) $(package)
	@touch $@

$(dev): requirements/dev.txt pyproject.toml $(venv_missing)
	@echo "Installing the locked packages for development (about 30 s the first time) ..."
	@$(pip_install) $(locked) requirements/dev.txt
	@$(pip_install) $(package)
	@touch $@ $(runtime)

venv:
	@for python in $(PYTHON); do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Creating .venv with $$("$$python" --version) ..."; \
	    exec "$$python" -m venv --clear --prompt milepost .venv; \
	  fi; \
	done; \
	echo "Milepost needs Python 3.11 or newer with its venv module. Found none as: $(PYTHON)" >&2; \
	echo "On Debian and Ubuntu: apt install python3 python3-venv" >&2; \
	exit 1

# What a contributor runs. `just` alone is what a change needs before it is committed; `just --list` shows the rest.
# Tools are taken from .venv, which `just install` makes.

export PATH := justfile_directory() / ".venv" / "bin" + ":" + env("PATH")

# Format, lint, check types, run the fast tests
default: format lint types test

# Make .venv, with the package in development mode and the versions of constraints.txt
install:
    python3 -m venv .venv
    .venv/bin/pip install -c constraints.txt -e ".[test,docs]"

# Format the code and apply ruff's safe fixes
format:
    ruff format .
    ruff check --fix .

# Style, spelling, the direction of imports
lint:
    ruff check .
    ruff format --check .
    codespell
    lint-imports

# mypy, strict
types:
    mypy

# The fast tests; arguments go to pytest: `just test tests/rules -k asap`
test *arguments:
    pytest -n auto -m "not slow and not faults and not gpu" {{ arguments }}

# Tests that start, stop and kill real processes
test-slow *arguments:
    pytest -n auto -m "slow or faults or gpu" {{ arguments }}

# Write README's and docs/results.md's tables and figures from results/measured/measured.sqlite
results:
    python docs/ext/measured_results.py

# Write tables of the documents from the catalog, check every document, build the site: docs/_build/index.html
docs:
    python tests/docs/documentation.py
    pytest -q tests/docs -m "not slow"
    sphinx-build -W -n -E -q docs docs/_build

# Everything that CI runs, from a new .venv
ci:
    .ci/run

# How fast cells train here, beside plain PyTorch: `just bench cifar10 --only model=resnet18`
bench *arguments="quickstart --only model=resnet10":
    asapbench bench {{ arguments }}

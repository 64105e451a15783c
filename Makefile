# make demo   install into .venv and run the quickstart search: ten best molecules and a report page
# make test   install and run all tests
# make lint   ruff, and make types   mypy
#
# PYTHON=python3.12 picks the interpreter; PIP_ARGS goes to pip, for instance to take the small CPU-only torch:
# make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= 2
INSTALL = .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS)

.PHONY: help demo test lint types clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -6

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "molvae needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv .venv

# stamps: what is installed is installed again only when the dependencies change
.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) torch==2.13.0 -e .
	@touch $@

.venv/.installed-dev: .venv/.installed
	$(INSTALL) -e '.[dev,distributed,peers,tensorboard]'
	@touch $@

demo: .venv/.installed
	.venv/bin/molvae optimise configs/quickstart.toml

test: .venv/.installed-dev
	.venv/bin/python -m pytest -n $(WORKERS)

lint: .venv/.installed-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/.installed-dev
	.venv/bin/mypy

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

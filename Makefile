# The doors of the house. Every command here is one that you can type yourself once .venv is on your PATH.
PYTHON ?= python3
VENV ?= .venv
WORKERS = --numprocesses auto --maxprocesses 4
ACTIVATE = export PATH="$(abspath $(VENV))/bin:$$PATH" DVC_NO_ANALYTICS=1 MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true;

.PHONY: help setup demo test recovery check ui clean

help:  ## What there is
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.installed  ## Make .venv from pyproject.toml and the pinned constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13) and "Python 3.11 or 3.12 is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup  ## The whole pipeline on handwritten digits, in minutes
	@$(ACTIVATE) exec python -m pipeline demo

test: setup  ## All tests but those of recovery
	@$(ACTIVATE) python -m pytest $(WORKERS)

recovery: setup  ## Planted faults, within 8 minutes: kills, full disks, dead servers
	@$(ACTIVATE) python -m pytest $(WORKERS) -m recovery tests/recovery

check: setup  ## Format, lint, types
	@$(ACTIVATE) ruff format --check . && ruff check . && mypy

ui: setup  ## The MLflow UI on http://127.0.0.1:5000
	@$(ACTIVATE) python -m pipeline track ui

clean:  ## Forget unfinished work; results and caches stay
	rm -rf .resume

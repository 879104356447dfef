# Commands for running and developing the project. With .venv on your PATH you can type each of them yourself.
PYTHON ?= python3
VENV ?= .venv
ACTIVATE = export PATH="$(abspath $(VENV))/bin:$$PATH" DVC_NO_ANALYTICS=1 MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true;
PYTEST = $(ACTIVATE) python -m pytest --numprocesses auto --maxprocesses 4

.PHONY: help setup demo check test test-all recovery lock lowest audit ci ui clean

help:  ## List these targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.installed  ## Create .venv from pyproject.toml and the pinned constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13) and "Python 3.11 or 3.12 is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,s3,ssh]'
	touch $@

demo: setup  ## Run the whole pipeline on handwritten digits, in minutes
	@$(ACTIVATE) exec python -m pipeline demo

check: setup  ## Check format, lint and types
	@$(ACTIVATE) ruff format --check . && ruff check . && mypy

test: setup  ## Run unit and property tests, in 4 minutes
	@$(PYTEST) -m 'not slow and not recovery'
	@echo 'Left out: tests marked slow (real DVC, servers, browsers, other processes: make test-all), planted faults (make recovery).'

test-all: setup  ## Run all tests but those of recovery, in 12 minutes
	@$(PYTEST)

recovery: setup  ## Plant faults and recover from them, in 8 minutes: kills, full disks, dead servers
	@$(PYTEST) -m recovery tests/recovery

lock: setup  ## Check that dvc.lock belongs to params, code and results; needs no data
	@$(ACTIVATE) bash .ci/lock

lowest:  ## Run the quick tests on the lowest versions that pyproject.toml allows, in .venv-lowest
	$(PYTHON) -m venv --clear .venv-lowest
	$(PYTHON) .ci/lower_bounds > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --constraint .venv-lowest/constraints.txt --editable '.[dev]'
	$(subst $(VENV),.venv-lowest,$(PYTEST)) -m 'not slow and not recovery'

audit:  ## Compare every pinned version with the known advisories, by pip-audit in .venv-audit
	$(PYTHON) -m venv --clear .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

ci: lock audit  ## Run what CI runs on a push, one job after the other, in an hour
	bash .ci/run
	@$(MAKE) lowest

ui: setup  ## Serve the MLflow UI on http://127.0.0.1:5000
	@$(ACTIVATE) python -m pipeline track ui

clean:  ## Delete saved progress of unfinished stages; results and caches stay
	rm -rf .resume demo/.resume

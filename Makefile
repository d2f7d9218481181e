# Each target sets up .venv by itself when it is missing, or older than pyproject.toml or constraints.txt.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
export MLFLOW_DISABLE_TELEMETRY := true
export PATH := $(CURDIR)/$(BIN):$(PATH)
# uv compiles nothing. What a command imports first is compiled then, and kept, even where a machine's settings forbid that.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help repro test test-all check bench chaos ui lock
help:
	@echo "make repro     reproduce everything: data, training, evaluation, report"
	@echo "make test      the quick tests, in less than five minutes on two cores"
	@echo "make test-all  the slow and long ones too, and those with servers and several processes"
	@echo "make check     format, lint, types, import rules"
	@echo "make bench     the platform beside a bare loop, as ratios (most of an hour, alone on the machine)"
	@echo "make chaos     runs and processes killed at random moments, damaged checkpoints, a full disk, a failing server"
	@echo "make ui        the MLflow UI, on port 5000 or the next free one"
	@echo "make lock      constraints.txt anew, after an edit of the dependencies in pyproject.toml"
	@echo "Each sets up .venv by itself, in about a minute, once. With a Python of your choice: make PYTHON=/path/to/python3 test"

.venv/ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: expected Python 3.11, 3.12 or 3.13 on the PATH; found none. Install one, or: make PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) lacks its venv module. On Debian or Ubuntu: apt-get install python3-venv"; exit 2; }
	@echo "Setting up .venv with $(PYTHON) (about a minute, once)"
	@$(PYTHON) install.py

repro: .venv/ready
	@dvc repro
	@echo
	@echo "The report:          reports/index.html"
	@echo "Every run, MLflow:   make ui"
	@echo "To type commands:    source .venv/bin/activate"

test: .venv/ready
	@pytest -n 2 --dist loadfile --no-loadscope-reorder --budget 300

test-all: .venv/ready
	@pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not gpu'

check: .venv/ready
	@ruff format --check .
	@ruff check .
	@mypy
	@lint-imports --no-cache

bench: .venv/ready
	@python -m benchmarks.run

chaos: .venv/ready
	@python -m tests.chaos.kills 50
	@python -m tests.chaos.ranks 10
	@python -m tests.chaos.searches 12
	@pytest -q -m 'not gpu' tests/chaos tests/pipelines/test_orphans.py $(addprefix --deselect tests/chaos/test_,kills.py commands.py)

ui: .venv/ready
	@python -m pipelines.ui

# From the index alone, without folders of wheels: the hashes are those of the wheels of every platform. What stands in
# constraints.txt stays as long as it fits; for newer releases: make lock UPGRADE=--upgrade
lock:
	@test -x $(BIN)/uv || $(MAKE) .venv/ready
	@uv pip compile -q pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-package torch --no-emit-package torchvision --custom-compile-command "make lock" $(UPGRADE) -o constraints.txt

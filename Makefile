# The environment lives in .venv and follows pyproject.toml: nothing has to be done before the first target.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo simulate test lint bench observe generate clean

demo: $(VENV)/.dev
	$(BIN)/llm-sidecar demo

simulate: $(VENV)/.dev
	$(BIN)/llm-sidecar simulate --seeds 3 --requests 10000

# What only computes shares the cores; what starts processes and looks at the clock has them to itself.
test: $(VENV)/.dev
	$(BIN)/pytest -n auto --dist worksteal -m "not process and not live"
	$(BIN)/pytest -m "process or live"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m bench

observe: $(VENV)/.dev
	$(BIN)/python -m dashboards.observe

generate: $(VENV)/.dev
	$(BIN)/python -m sidecar.config --write
	$(BIN)/python -m sidecar.telemetry.catalog > docs/reference/metrics.md
	$(BIN)/python -m sidecar.telemetry.span_rows > docs/reference/spans.md
	$(BIN)/python -m alerts
	$(BIN)/python -m dashboards
	$(BIN)/python -m helm
	$(BIN)/python -m sidecar.doctor.compatibility > docs/compatibility.md
	$(BIN)/python -m tests.hub.compatibility > docs/translation.md

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("llm-sidecar needs Python 3.11 or newer: make PYTHON=python3.11 test" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

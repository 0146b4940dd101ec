# The short verbs: serve, test, check, bench, demo, examples, lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: serve test check format bench demo examples lock clean

serve: $(STAMP)
	$(BIN)/lethe serve

test: $(DEV_STAMP)
	$(BIN)/python -m tests.suite

check: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docker/lock.py --check
	$(BIN)/python docker/audit.py
	$(BIN)/python -m pytest -m "not slow and not browser"

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV_STAMP)
	for file in tests/bench/bench_*.py; do $(BIN)/python $$file || exit 1; done

demo: $(DEV_STAMP)
	$(BIN)/python -m worker.core.demo.train --out worker/core/demo/weights --seed 0
	$(BIN)/python -m worker.core.demo.measure worker/core/demo/weights

# The finished runs of the bundled model that ship; what build/examples holds is not computed again.
examples: $(DEV_STAMP)
	$(BIN)/python -m worker.cli.examples static/gallery/runs build/examples

lock: $(DEV_STAMP)
	$(BIN)/python docker/lock.py

# Torch first: without a GPU its CPU build where the package index offers it (its version then ends
# in +cpu), so that no gigabytes of CUDA come along. A GPU machine takes the index's own build.
$(STAMP): $(wildcard docker/requirements/*.txt) pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	command -v nvidia-smi >/dev/null || $(BIN)/pip install --quiet torch==2.13.0+cpu || true
	$(BIN)/pip install --quiet --editable '.[worker]'
	touch $(STAMP)

# What tests and checks need beside: lm-evaluation-harness, pytest, mypy, ruff, a browser's driver.
$(DEV_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --editable '.[worker,tasks,dev]'
	touch $(DEV_STAMP)

clean:
	rm -rf $(VENV) build *.egg-info

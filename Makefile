# The short verbs: serve, test, check, bench, demo.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: serve test check format bench demo clean

serve: $(STAMP)
	$(BIN)/lethe serve

test: $(STAMP)
	$(BIN)/python -m tests.suite

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow and not browser"

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	for file in tests/bench/bench_*.py; do $(BIN)/python $$file || exit 1; done

demo: $(STAMP)
	$(BIN)/python -m worker.core.demo.train --out worker/core/demo/weights --seed 0
	$(BIN)/python -m worker.core.demo.measure worker/core/demo/weights

# Torch first: without a GPU its CPU build where the package index offers it (its version then ends
# in +cpu), so that no gigabytes of CUDA come along. A GPU machine takes the index's own build.
$(STAMP): docker/requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	command -v nvidia-smi >/dev/null || $(BIN)/pip install --quiet torch==2.13.0+cpu || true
	$(BIN)/pip install --quiet --editable .
	touch $(STAMP)

clean:
	rm -rf $(VENV) build *.egg-info

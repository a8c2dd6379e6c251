# Everything from a fresh clone: `make install`, `make test`, `make demo`.

PYTHON ?= python3
SEED ?= 0

VENV := .venv
# Seed 0 is the demo; another seed gets folders of its own.
DEMO := demo$(if $(filter-out 0,$(SEED)),-$(SEED))
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLING := $(VENV)/.installing
STAND_IN := packaging/fbgemm-gpu-cpu
RECBOLE := recbole==1.2.1
MOVIELENS := build/recbole/recbole/dataset_example/ml-100k

.PHONY: help install test test-slow test-all test-cuda lint demo clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with recnas and its development tools

# `.installing` marks a virtual environment on which pip is at work; one that still has it was left half-made.
$(INSTALLED): pyproject.toml Makefile $(wildcard packaging/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "recnas needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Name another: make $(or $(MAKECMDGOALS),install) PYTHON=python3.12" >&2; \
		exit 1; \
	}
	@if [ -e $(INSTALLING) ] || { [ -e $(BIN) ] && ! $(BIN)/python -c '' 2>/dev/null; }; then \
		echo "$(VENV) is half-made or broken; making it anew"; \
		rm -rf $(VENV); \
	fi
	@rm -f $(INSTALLED)
	@mkdir -p $(VENV) && touch $(INSTALLING)
	$(PYTHON) -m venv $(VENV)
# PyPI's fbgemm-gpu cannot be imported without NVIDIA's driver library; the local package stands in for it.
	@if PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep 'libcuda\.so\.1' >/dev/null; then \
		stand_in=; \
	else \
		stand_in=./$(STAND_IN); \
	fi; \
	set -x; $(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]' $$stand_in
	$(BIN)/python -m pip check
	@mv $(INSTALLING) $(INSTALLED)
	@touch $(INSTALLED)

# tests/conftest.py shares the cores out and puts the longest files first; a file's tests share what they have made.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: install ## Run the tests, on all cores, but for those of several processes, Ray and benchmarks
	$(PYTEST) -m 'not slow'

test-slow: install ## Run those, too
	$(PYTEST) -m slow

test-all: test test-slow ## Run all tests

# In one process: the tests would share one device's memory.
test-cuda: install ## Run those that need a CUDA device, which the others skip
	$(BIN)/python -m pytest tests/cuda -rs

lint: install ## Check style, formatting, and that imports run one way
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

# recbole carries MovieLens-100K. It is kept out of .venv, as it would miss the dependencies it is installed without.
demo: install ## Search on MovieLens-100K: data/movielens, runs/demo, models/demo
	[ -e data/movielens/schema.json ] || { \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
			--target build/recbole $(RECBOLE) && \
		$(BIN)/recnas prepare movielens --input $(MOVIELENS) --output data/movielens; \
	}
	$(BIN)/recnas search --data data/movielens --preset demo --run runs/$(DEMO) --seed $(SEED) --overwrite
	$(BIN)/recnas report runs/$(DEMO)
	$(BIN)/recnas export runs/$(DEMO) --output models/$(DEMO) --overwrite
	$(BIN)/recnas evaluate models/$(DEMO) --data data/movielens --split test

clean: ## Remove .venv, caches and builds; data, runs and models stay
	rm -rf $(VENV) build dist *.egg-info packaging/*/build packaging/*/*.egg-info
	rm -rf .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Needs make, Python 3.11 or newer with venv and pip. Everything is installed into .venv beside this file.
#
#   make demo           a world from examples/china.jpg in runs/demo
#   make test           the tests
#   make fuzz           10,000 damaged scene files a format, in limited memory (about 10 minutes)
#   make lint           ruff and mypy
#   make bench          time the renderer
#   make viewer-check   rebuild the viewer page's script with Node and compare it with the committed one
#   make clean          remove .venv, caches and runs/demo
#
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes PyTorch without CUDA: on Linux a much smaller download.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
JOBS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.PHONY: help demo test fuzz lint bench viewer-check clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

$(VENV)/.torch:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	touch $@

$(INSTALLED): $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet -e .
	touch $@

$(INSTALLED_DEV): $(INSTALLED)
	$(PIP) install --quiet -e '.[dev]'
	touch $@

# A compiled function is cached with what it calls, and numba does not see when that changes in another file.
$(VENV)/.compiled: $(shell grep -rl --include='*.py' numba src) | $(INSTALLED)
	find src -name '*.nb[ic]' -delete
	touch $@

demo: $(INSTALLED) $(VENV)/.compiled
	$(BIN)/openlyra create examples/china.jpg -o runs/demo --overwrite
	@echo "video:             runs/demo/video.mp4"
	@echo "frames at a glance: runs/demo/contact_sheet.jpg"
	@echo "look around:       runs/demo/viewer.html (open it in a browser)"

test: $(INSTALLED_DEV) $(VENV)/.compiled
	$(BIN)/python -m openlyra.cli.warm_up
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

fuzz: $(INSTALLED_DEV)
	OPENLYRA_FUZZ=10000 $(BIN)/python -m pytest -s -n $(JOBS) --dist load tests/formats/test_fuzz.py

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED) $(VENV)/.compiled
	$(BIN)/python benchmarks/bench_render.py

viewer-check:
	viewer/check.sh

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis runs/demo
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

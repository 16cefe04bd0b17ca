# The README's commands. Everything goes into .venv here; nothing needs root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help install ffcv sweep report study image-study speed ui mlflow-server test slow-test benchmark-test lint format constraints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip names a full disk in its last line only, below hundreds of others, and not which disk.
FREE_DISK := df -Pk . "$${TMPDIR:-/tmp}" | awk 'NR > 1 && $$4 < 8388608 && !told[$$6]++ \
  { printf "%s has %.1f GB free; installing rewa needs about 8 GB there. Free some and run make again.\n", $$6, $$4 / 1048576 }' >&2

# Installs the exact tested set, again only when pyproject.toml or constraints.txt changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rewa needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo 'installing into $(VENV): about three minutes, 7.5 GB'
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' \
	  || { $(FREE_DISK); exit 2; }
	@$(BIN)/python -m rewa.packs
	@touch $@

install: $(VENV)/.installed ## create .venv and install

# FFCV is compiled here. Debian's packages are asked for only where its headers are not found; a wheel compiled
# against libraries that have changed since is compiled again.
FFCV_NEEDS := libopencv-dev libturbojpeg0-dev pkg-config g++
ffcv: install ## add the loader of FFCV's beton files (compiles; headers by apt-get, as root or by sudo)
	@if $(BIN)/python -c 'import ffcv' 2>/dev/null; then echo 'ffcv is installed in $(VENV)'; exit 0; fi; \
	if ! { pkg-config --exists opencv4 libturbojpeg && command -v c++; } >/dev/null 2>&1; then \
	  sudo=none; \
	  if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; fi; \
	  if [ "$$sudo" = none ] || ! command -v apt-get >/dev/null; then \
	    echo 'FFCV is compiled from source and needs the Debian packages $(FFCV_NEEDS) (or what they are' \
	      'called here): have them installed, then run make ffcv again.' >&2; exit 2; fi; \
	  echo 'installing $(FFCV_NEEDS): about 700 MB'; \
	  $$sudo apt-get update -qq && \
	  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $(FFCV_NEEDS) || exit; \
	fi; \
	pip='$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt'; \
	$$pip --editable '.[ffcv]' || exit; \
	$(BIN)/python -c 'import ffcv' 2>/dev/null || \
	  { $$pip --force-reinstall --no-deps --no-cache-dir ffcv && $(BIN)/python -c 'import ffcv'; }

sweep: install ## run the default sweep (digits), or resume it, write its report and register its best model
	$(BIN)/rewa sweep digits --resume
	$(BIN)/python -m analysis.report --sweep digits --output results/digits
	$(BIN)/rewa register digits --compression 100

report: install ## write the report of the default sweep again
	$(BIN)/python -m analysis.report --sweep digits --output results/digits

study: install ## run the paper's synthetic study and what goes beyond it (an hour or two)
	for part in figure1 figure2 table2 phase_transition regimes; do $(BIN)/python -m benchmarks.$$part || exit; done
	$(BIN)/rewa sweep sparse_recovery --resume
	$(BIN)/python -m analysis.report --sweep sparse_recovery

image-study: install ## the paper's image settings at scale small (DATA=folder of CIFAR-10 images; about an hour)
	$(BIN)/python -m benchmarks.figure3a --scale small $(if $(DATA),--data $(DATA))
	$(BIN)/python -m benchmarks.table1 --scale small --runs results/figure3a/runs $(if $(DATA),--data $(DATA))

speed: install ## measure what "Speed" in the README states (idle machine, 45 minutes; REFERENCE=checkout of the authors' code)
	for part in optimizer_step sparse_recovery; do \
	  $(BIN)/python -m benchmarks.$$part $(if $(REFERENCE),--reference $(REFERENCE)) || exit; done
	for part in packed_sweep sweep_overhead train_throughput scaling; do \
	  $(BIN)/python -m benchmarks.$$part || exit; done

ui: install ## open the MLflow UI on the newest sweep
	$(BIN)/rewa ui

mlflow-server: install ## serve MLflow on 127.0.0.1:5000 (on PostgreSQL if REWA_MLFLOW_STORE names one)
	$(BIN)/rewa mlflow-server

# A file of tests goes to one process: its tests may share what is dear to make.
test: install ## run the fast test suite
	$(BIN)/python -m pytest -m 'not slow' -n auto --maxprocesses 4 --dist loadfile

slow-test: install ## run the slow tests (twenty minutes)
	$(BIN)/python -m pytest -m 'slow and not benchmark_command'

benchmark-test: install ## run the longest benchmarks at toy size (five minutes)
	$(BIN)/python -m pytest -m benchmark_command

lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: ffcv ## write what is installed here as the tested set
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cluster,aws,gcp]'
	$(BIN)/pip freeze --exclude-editable --disable-pip-version-check > constraints.txt

clean: ## remove .venv and caches; results stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build *.egg-info

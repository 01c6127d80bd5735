# Everything runs in $(VENV); `make` alone lists the targets.
# Override on the command line: make test VENV=/elsewhere PYTHON=python3.12 JOBS=4
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 3

PY := $(VENV)/bin/python
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.demo-ready
CODE := src tests docs benchmarks examples

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test torture check bench docs clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /:/' | awk -F: '{ printf "make %-7s %s\n", $$1, $$2 }'

setup: $(READY) ## make the virtual environment with everything in it

CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "topwork needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'

$(READY): pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	@echo "Setting up $(VENV): PyTorch with its CUDA libraries and the rest, about 3 GB to download, 6 GB on disk (Linux; less elsewhere)."
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[demo,dev,docs]'
	@touch $@
	@echo "Set up. For the command itself: $(VENV)/bin/topwork --help"

# What a user installs, not what development needs; an environment that has everything will do.
$(DEMO_READY): pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	@echo "Setting up $(VENV) for the demo: PyTorch and its libraries make most of the download (on Linux about 3 GB, with CUDA)."
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[demo,openvino]'
	@touch $@

demo: $(if $(wildcard $(READY)),$(READY),$(DEMO_READY)) ## compare the four strategies on images of solar cells
	@$(VENV)/bin/topwork demo

# One thread a worker: the workers are the parallelism, and the bit-exact tests set their own thread counts. A file is the
# unit of work: what its tests share is made once. The order of the files is that of tests/conftest.py. Bytecode is kept:
# hundreds of processes start.
test: $(READY) ## run the tests
	@PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 3

torture: $(READY) ## kill, fill, cut and damage everything that is saved (an hour; parts of it need strace and root)
	@OMP_NUM_THREADS=1 PYTHONPATH=. $(PY) tests/torture/run.py

check: $(READY) ## lint, formatting, types
	@$(PY) -m ruff check $(wildcard $(CODE))
	@$(PY) -m ruff format --check $(wildcard $(CODE))
	@$(PY) -m pyrefly check --python-interpreter-path $(PY)

bench: $(READY) ## run the benchmarks (long)
	@$(PY) benchmarks/run.py

docs: $(READY) ## write the generated pages, and build the site in build/docs
	@$(PY) docs/make_cli.py
	@$(PY) docs/make_python.py
	@$(PY) docs/make_data_errors.py
	@$(PY) -m sphinx -q -W --keep-going -c docs . build/docs
	@echo "Written: build/docs/docs/index.html"

clean: ## remove build output and caches; runs/ and the environment stay
	rm -rf build dist src/*.egg-info .pytest_cache .ruff_cache .pyrefly_cache .hypothesis
	find $(wildcard $(CODE)) -name __pycache__ -type d -prune -exec rm -rf {} +

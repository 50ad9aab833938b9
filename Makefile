# One command each; `make help` lists them. Set PYTHON to choose another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BROWSER_STAMP := scripts/explorer/node_modules/.installed

# Two processes with a thread each are faster than one process with two threads.
TWO_WORKERS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

IN_BROWSER := tests/test_site.py tests/test_slides.py tests/test_lab.py
NOTEBOOKS := $(TWO_WORKERS) --nbval-lax --nbval-cell-timeout=300 notebooks
CHECKS := $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

.DEFAULT_GOAL := help
.PHONY: help setup run test test-browser test-all lint notebooks slides student reference site site-serve lab bench clean

help: ## List these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: $(STAMP) ## Make .venv and install the library with everything the course needs

$(STAMP): pyproject.toml svae_lib/_version.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or newer is needed: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[course,tests]'
	@touch $@

run: setup ## Train a VAE and a Split VAE on real digits, score them, write a report
	$(BIN)/svae demo --out runs/demo

test: setup ## Run the tests: style, types, units, the learners' notebooks
	$(CHECKS)
	$(TWO_WORKERS) tests
	$(NOTEBOOKS) --ignore notebooks/solutions

test-browser: setup ## Open site, explorer, decks and JupyterLab in Chromium and look at them
	$(TWO_WORKERS) -m thorough $(IN_BROWSER)

test-all: setup ## Run every test: the slow ones and the solved notebooks, too
	$(CHECKS)
	$(TWO_WORKERS) -m "" tests
	$(NOTEBOOKS)

lint: setup ## Check style and types only, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

notebooks: setup ## Make the notebooks from notebooks/source
	$(BIN)/python scripts/build_notebooks.py

slides: setup ## Make lecture slides that need no network, in slides/; LECTURE=1 makes a lecture's
	$(BIN)/python scripts/$(if $(LECTURE),build_lecture.py $(LECTURE),build_slides.py)

student: setup ## Make a zip of the course without solutions, split-vae-course.zip
	$(BIN)/python scripts/build_student.py --overwrite

reference: setup ## Make the library's reference from its docstrings, in reference/
	$(BIN)/python scripts/build_reference.py

site: setup $(BROWSER_STAMP) ## Make the web site with the explorer, in site/
	$(BIN)/python scripts/build_site.py

site-serve: ## Serve site/ on this machine: http://localhost:8000
	@$(PYTHON) scripts/serve_site.py

$(BROWSER_STAMP): scripts/explorer/package.json scripts/explorer/package-lock.json
	@command -v npm >/dev/null || { echo "npm is needed for the explorer: install Node.js"; exit 1; }
	cd scripts/explorer && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

lab: setup ## Open JupyterLab on the notebooks
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

bench: setup ## Measure what this machine can run, into benchmarks/results; BENCH="widgets ..." chooses
	$(BIN)/python benchmarks/run_all.py $(BENCH)
	$(BIN)/python scripts/build_speed.py

clean: ## Remove .venv, caches and built files; runs/ and downloads stay
	rm -rf $(VENV) build dist slides reference site scripts/explorer/node_modules .pytest_cache .mypy_cache .ruff_cache

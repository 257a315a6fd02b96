# make lab    set up on the first run, then open JupyterLab on notebooks/
# make test   everything that CI checks
# make help   the rest

PYTHON ?= python3
LAB_ARGS ?=
PIP_ARGS ?=
TORCH := 2.13.0

BIN := .venv/bin
# In a container one is often root, which JupyterLab wants to be told.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
RUN := $(BIN)/python
NBVAL := $(RUN) -m pytest --nbval-lax -p no:cacheprovider -n 2 --dist loadscope --nbval-cell-timeout 300

# Tests run two at a time: the threads of one would only get in the other's way.
unit nbval notebooks: export OMP_NUM_THREADS = 1

.PHONY: help lab grading test lint unit nbval notebooks ledger coverage bench constraints newest clean

help:  ## what each target does
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

lab: .venv/.lab  ## set up if needed, then open JupyterLab; LAB_ARGS="--no-browser --port=8899" is passed on
	$(RUN) -m jupyterlab --ServerApp.root_dir=notebooks $(AS_ROOT) $(LAB_ARGS)

grading: .venv/.grading  ## set up what instructors need to grade; assignments/README.md goes on from here
	@echo "Ready: see assignments/README.md. \`$(BIN)/course doctor\` checks the sandbox."

test: lint unit nbval  ## lint, unit, doctest, browser and notebook tests
	$(RUN) -m course_utils.authoring coverage --check

lint: .venv/.dev  ## ruff, form and style
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

unit: .venv/.dev  ## every test but the notebooks' own run
	$(RUN) -m pytest --doctest-modules -n 2 --dist loadscope

nbval: .venv/.dev  ## run every notebook, record its checks
	mkdir -p build && rm -f build/ledger.jsonl
	COURSE_LEDGER=$(CURDIR)/build/ledger.jsonl $(NBVAL) notebooks/*.ipynb

notebooks: .venv/.dev  ## execute notebooks/source/*.py into notebooks/*.ipynb
	$(RUN) -m course_utils.authoring notebooks

ledger: nbval  ## run every notebook and write build/ledger.jsonl

coverage: .venv/.dev  ## write the README's tables from the ledger
	$(RUN) -m course_utils.authoring coverage

bench: .venv/.dev  ## measure imports, notebooks, widgets, grading beside their baselines; PARTS="grading" for one
	$(RUN) -m tests.bench $(PARTS)

constraints:  ## resolve afresh and write constraints.txt
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install -q $(PIP_ARGS) torch==$(TORCH) -e '.[dev]'
	build/constraints/bin/python -m pip list --format=freeze --exclude-editable --exclude pip --exclude setuptools \
	  | sed 's/+[a-z0-9.]*$$//' > build/constraints.txt
	mv build/constraints.txt constraints.txt

newest: .venv/.python  ## install the newest versions that pyproject.toml allows, without constraints
	$(RUN) -m pip install -q --upgrade $(PIP_ARGS) -e '.[dev]'
	touch .venv/.lab .venv/.grading .venv/.dev

clean:  ## remove what the other targets made, the environment included
	rm -rf .venv build

# Each stamp is touched only after its install succeeded, so a broken install is done again.
.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 lab"; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/.lab: .venv/.python pyproject.toml constraints.txt
	$(RUN) -m pip install -q $(PIP_ARGS) -c constraints.txt -e .
	touch $@

.venv/.grading: .venv/.python pyproject.toml constraints.txt
	$(RUN) -m pip install -q $(PIP_ARGS) -c constraints.txt -e '.[grading]'
	touch .venv/.lab $@

.venv/.dev: .venv/.python pyproject.toml constraints.txt
	$(RUN) -m pip install -q $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	touch .venv/.lab .venv/.grading $@

# `make demo` shows the template at work; `make test` proves it. Both do their own set-up.
# Switches count on the command line only: `make demo PYTHON=python3.12`.
PYTHON := python3
PYTHONS := 3.11 3.12 3.13 3.14
VENV := .venv
BIN := $(VENV)/bin
TOOLS := build/tools
PROJECT := {{cookiecutter.project_slug}}
LIBRARY := packages/sovereign-ml
PYTEST_ARGS :=

# Caches stay out of the template folder: cookiecutter would copy them into every project. Compiled modules are kept,
# because the tests start hundreds of processes, and compiling what one imports takes longer than what it does.
export PYTHONPYCACHEPREFIX := $(abspath build/cache/python)
unexport PYTHONDONTWRITEBYTECODE
export RUFF_CACHE_DIR := $(abspath build/cache/ruff)
export MYPY_CACHE_DIR := $(abspath build/cache/mypy)
export HYPOTHESIS_STORAGE_DIRECTORY := $(abspath build/cache/hypothesis)
export PYTEST_ADDOPTS := -o 'cache_dir=$(abspath build/cache/pytest)'
export SHIPPED_ENVIRONMENTS := $(abspath build/shipped)

.DEFAULT_GOAL := help
.PHONY: help demo leave-demo test test-library test-template lint types format stages lock release wheel wheel-check docs clean environment shipped

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

demo: $(TOOLS)/.installed ## render with the defaults and a fresh wheel into build/, and run the whole flow there
	@rm -rf build/acme-churn
	@$(TOOLS)/bin/python tests/bake.py build > build/render.log 2>&1 || { cat build/render.log; exit 1; }
	@env -u PYTHONPYCACHEPREFIX $(MAKE) --no-print-directory -C build/acme-churn VENV=../acme-env PYTHON="$(PYTHON)" run
	@echo "The project is in build/acme-churn."

leave-demo: environment ## leave an account of SageMaker that a double plays, from the dump to the proof, sealed
	@$(BIN)/python $(LIBRARY)/tests/support/platforms/leave_demo.py

# What renders the template, builds the wheel and installs environments.
$(TOOLS)/.installed: requirements/demo.lock $(foreach name,dev uv,$(PROJECT)/requirements/$(name).lock)
	@$(PYTHON) -I -c 'import sys; seen = "%d.%d" % sys.version_info[:2]; sys.exit(None if seen in sys.argv[1:] else \
	  "Python %s is not covered by the locks, which are for %s: call make with PYTHON=python3.12" % (seen, ", ".join(sys.argv[1:])))' $(PYTHONS)
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python packages/release.py requirements > $(TOOLS)/build.txt
	@for lock in requirements/demo.lock '$(PROJECT)/requirements/uv.lock' $(TOOLS)/build.txt; do \
	  $(TOOLS)/bin/python -m pip install --quiet --require-hashes -r "$$lock" || exit 1; done
	@touch $@

# Everything that tests and lint need, with the library as a project gets it: the wheel, built and installed anew
# when a file of packages/ changes.
environment: $(TOOLS)/.installed
	@$(TOOLS)/bin/python tests/environments.py test $(VENV)

# The environments that a project ships, each from its lock alone. Tests of the profile eu run `churn` from there.
shipped: $(TOOLS)/.installed
	@$(TOOLS)/bin/python tests/environments.py shipped build/shipped $(PYTEST_ARGS)

# What builds the documentation, apart from all else: nobody who runs or tests a project needs it.
build/docs-env/.installed: requirements/docs.lock $(TOOLS)/.installed
	@$(TOOLS)/bin/uv venv --quiet --clear --python $(TOOLS)/bin/python build/docs-env
	@$(TOOLS)/bin/uv pip sync --quiet --python build/docs-env/bin/python --require-hashes requirements/docs.lock
	@touch $@

docs: build/docs-env/.installed ## the documentation as a site that needs no server and no network
	@$(TOOLS)/bin/python docs/make_site.py build/docs-env/bin/zensical build/docs > build/docs.log || { cat build/docs.log; exit 1; }
	@echo "Open build/docs/site/index.html"

# What works on one core comes first and at once. The tests have a worker on each core, and follow one another.
test: ## all tests; nothing can leave while they run
	@$(MAKE) --no-print-directory -j 2 --output-sync=target lint types wheel-check shipped build/docs-env/.installed
	@$(MAKE) --no-print-directory test-library
	@$(MAKE) --no-print-directory test-template

test-library: environment shipped ## the tests of the library, on the project of the template
	@$(BIN)/python tests/sealed.py $(LIBRARY) $(PYTEST_ARGS)

test-template: environment shipped build/docs-env/.installed ## the tests of rendering, updating and whole projects
	@$(BIN)/python -m pytest tests -n logical --maxprocesses=4 --dist loadfile $(PYTEST_ARGS)

lint: environment ## format, lint, import rules, declared dependencies, without rendering
	@$(BIN)/ruff format --check --quiet hooks tests packages benchmarks docs '$(PROJECT)'
	@$(BIN)/ruff check --quiet hooks tests packages benchmarks docs '$(PROJECT)'
	@cd $(LIBRARY) && ../../$(BIN)/lint-imports --no-cache > ../../build/imports.log || { cat ../../build/imports.log; exit 1; }
	@cd '$(PROJECT)' && PYTHONPATH=src ../$(BIN)/lint-imports --no-cache > ../build/imports.log || { cat ../build/imports.log; exit 1; }
	@cd $(LIBRARY) && ../../$(BIN)/deptry --no-ansi src > ../../build/dependencies.log 2>&1 || { cat ../../build/dependencies.log; exit 1; }
	@cd '$(PROJECT)' && for part in train:src serve:serve; do \
	  ../$(BIN)/deptry --no-ansi --config requirements/deptry-$${part%:*}.toml $${part#*:} > ../build/dependencies.log 2>&1 \
	  || { cat ../build/dependencies.log; exit 1; }; done
	@cd '$(PROJECT)' && $(STAGES) check

types: environment ## strict types of the library, the project and the tests
	@cd $(LIBRARY) && ../../$(BIN)/mypy src
	@cd '$(PROJECT)' && ../$(BIN)/mypy src serve
	@$(BIN)/mypy tests packages/release.py docs/make_site.py docs/reference.py docs/pictures.py

format: environment ## format the code
	@$(BIN)/ruff format hooks tests packages benchmarks docs '$(PROJECT)'
	@$(BIN)/ruff check --fix hooks tests packages benchmarks docs '$(PROJECT)'

# `churn stages` itself reads config.toml, which has questions instead of answers here.
STAGES = PYTHONPATH=src ../$(BIN)/python -c 'import sys; from pathlib import Path; from churn.project import PROJECT; \
  from sovereign_ml.pipeline import stages; getattr(stages, sys.argv[1])(Path(), PROJECT)'

stages: environment ## write dvc.yaml of the project from its table of steps
	@cd '$(PROJECT)' && $(STAGES) write

# The wheel of packages/sovereign-ml, as it lies in the template's vendor/ folder.
lock: $(TOOLS)/.installed ## resolve all locks; pins that still fit stay
	@$(TOOLS)/bin/python packages/release.py lock

release: $(TOOLS)/.installed ## a new version of the library into vendor/, locks and changelogs: VERSION=2026.12.0
	@$(TOOLS)/bin/python packages/release.py release "$(VERSION)"

wheel: $(TOOLS)/.installed ## build the library again, into vendor/ and the hashes of the locks
	@$(TOOLS)/bin/python packages/release.py refresh

wheel-check: $(TOOLS)/.installed ## refuse where the wheel in vendor/ is no build of packages/
	@$(TOOLS)/bin/python packages/release.py check

clean: ## remove environments, caches and the demo
	rm -rf .venv build

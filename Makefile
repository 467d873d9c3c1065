# Everything a new clone needs: `make demo` to see it work, `make test` to prove it. Written for GNU make 3.81 and later.

ARGS =
VENV = .venv
LINT_VENV = .venv-lint
BIN = $(VENV)/bin

# The linters live in an environment of their own: they need a newer click than Faust allows.
LINTERS = ruff==0.17.6 mypy==2.4.1 import-linter==2.16

# The first interpreter that is new enough; `make PYTHON=/path/to/python3.12 demo` chooses another.
PYTHON = $(shell for candidate in python3 python3.13 python3.12 python3.11 python3.14; do \
	if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$candidate; break; fi; done)

# Tests of the compiled code that also run uncompiled, where numpy checks bounds and overflow.
UNCOMPILED_TESTS = \
	tests/unit/test_batches.py tests/unit/test_binary_ticks.py tests/unit/test_conditions.py \
	tests/unit/test_instruments.py tests/unit/test_signals.py tests/unit/test_ticks.py tests/unit/test_units.py \
	tests/unit/test_window.py tests/property/test_band.py tests/property/test_tick_decoding.py

# Tests wait for brokers half of the time: two processes, each with brokers of its own, and whoever is idle takes over.
PARALLEL = -n 2 --dist worksteal

.PHONY: help demo warm test lint format chaos chaos-short benchmark gate clean \
	bench bench-quick bench-shapes bench-latency bench-cost bench-report bench-all

help:
	@echo "make demo            show two days of Alibaba on an embedded broker; needs nothing but Python 3.11 or newer"
	@echo "make demo ARGS=...   pass flags on, for example ARGS=--stay to keep it running, ARGS=--plain for plain lines"
	@echo "make test            lint, check types and layers, and run every test"
	@echo "make lint            lint, check types and layers, without the tests"
	@echo "make chaos           break workers, brokers and the network for half an hour, and count what is lost or doubled;"
	@echo "                     needs Java 17 and Maven; ARGS='--seed 7' repeats a run, make chaos-short takes two minutes"
	@echo "make format          format the sources and sort their imports"
	@echo "make warm            fill the cache of compiled code"
	@echo "make benchmark       measure decoding and the fold in this process; ARGS=--kafka: one worker on Apache Kafka"
	@echo "make gate            hold the speed of this clone against fixed loops; a test of make test does the same"
	@echo "make bench           run Fiftytwo and its peers on one Apache Kafka (Java 17, Maven), half an hour; ARGS=--rounds=1"
	@echo "make bench-quick     the worker and Kafka Streams exactly once on the 52-week job, under four minutes"
	@echo "make bench-shapes    how cost grows with instruments, history, batch sizes, codecs and shapes of load"
	@echo "make bench-latency   from the append of a tick to the receipt of its signal, at three loads"
	@echo "make bench-cost      what exactly once costs: rate, latency and restart beside at least once; ARGS=--short"
	@echo "make bench-report    write what the four above measured into the documentation and the README"
	@echo "make bench-all       all of these, one after the other, an hour and a half on two cores"
	@echo "make clean           remove the environments and caches of this clone"

demo: warm
	@interrupted=; trap 'interrupted=yes' INT; \
	$(BIN)/fiftytwo demo $(ARGS); status=$$?; \
	if [ -n "$$interrupted" ] && [ $$status -eq 130 ]; then exit 0; fi; exit $$status

warm: $(VENV)/.stamp-demo
	@$(BIN)/fiftytwo warm

# Compiled once beforehand, so that the processes do not each compile the same.
test: lint warm
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -W error::RuntimeWarning -m pytest -q $(PARALLEL) -m "not compiled_only" $(UNCOMPILED_TESTS)

lint: $(VENV)/.stamp-test $(LINT_VENV)/.stamp
	$(LINT_VENV)/bin/ruff check .
	$(LINT_VENV)/bin/ruff format --check .
	$(LINT_VENV)/bin/mypy --python-executable $(BIN)/python
	$(LINT_VENV)/bin/lint-imports --no-logo

format: $(LINT_VENV)/.stamp
	$(LINT_VENV)/bin/ruff check --select I --fix .
	$(LINT_VENV)/bin/ruff format .

chaos: $(VENV)/.stamp-test
	$(BIN)/python -m tests.chaos $(ARGS)

chaos-short: $(VENV)/.stamp-test
	$(BIN)/python -m tests.chaos --short $(ARGS)

benchmark: $(VENV)/.stamp-test
	$(BIN)/python -m benchmarks.throughput $(ARGS)

gate: $(VENV)/.stamp-test
	$(BIN)/python -m benchmarks.gate

bench: warm $(VENV)/.stamp-test
	$(BIN)/python -m benchmarks.bench $(ARGS)

bench-quick: warm $(VENV)/.stamp-test
	$(BIN)/python -m benchmarks.bench --quick $(ARGS)

bench-shapes: warm $(VENV)/.stamp-test
	$(BIN)/python -m benchmarks.shapes $(ARGS)

bench-latency: warm $(VENV)/.stamp-test
	$(BIN)/python -m benchmarks.latency $(ARGS)

bench-cost: warm $(VENV)/.stamp-test
	$(BIN)/python -m benchmarks.cost $(ARGS)

# One after the other: they would disturb each other. What one of them lacks is told at the end, and written all the same.
bench-all:
	@status=0; for part in bench bench-latency bench-cost bench-shapes bench-report; do \
		$(MAKE) $$part || status=1; \
	done; exit $$status

bench-report: $(VENV)/.stamp-test
	$(BIN)/python -m benchmarks.report $(ARGS)

clean:
	rm -rf $(VENV) $(LINT_VENV) build dist fiftytwo.egg-info .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or newer is needed, and none was found as python3 or python3.11 to python3.14." >&2; \
		echo "Install one (https://www.python.org/downloads), or name yours: make PYTHON=/path/to/python3 demo" >&2; \
		exit 1; fi
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(VENV)

$(LINT_VENV)/bin/python: | $(BIN)/python
	@$(BIN)/python -m venv --clear $(LINT_VENV)

$(VENV)/.stamp-demo: pyproject.toml $(BIN)/python
	@echo "Installing Fiftytwo and what it needs into $(VENV) (about 150 MB the first time)"
	@$(BIN)/python -m pip install --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.stamp-test: pyproject.toml $(BIN)/python
	@echo "Installing Fiftytwo, the demo and the tests into $(VENV)"
	@$(BIN)/python -m pip install --disable-pip-version-check --editable '.[demo,test]'
	@touch $(VENV)/.stamp-demo $@

$(LINT_VENV)/.stamp: Makefile $(LINT_VENV)/bin/python
	@$(LINT_VENV)/bin/python -m pip install --disable-pip-version-check --quiet $(LINTERS)
	@touch $@

# make bench   the benchmark on invented people, about 2 minutes on 2 cores after installation
# make test    all fast tests
# make wheel   what is installed, without its source: 3 minutes
# make check   lint, types, import directions
# make docs     the documentation, in docs/_build/html
# make benchmarks   what speed and memory are on this machine: about 40 minutes on a core
PYTHON ?= python3
BIN := .venv/bin

.PHONY: bench test slow wheel check docs benchmarks clean

bench: .venv/installed
	$(BIN)/python -m bench

test: .venv/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

slow: .venv/installed-dev
	$(BIN)/python -m pytest -m slow

wheel: .venv/installed-dev
	$(BIN)/python -m pytest -m wheel tests/integration/test_wheel.py

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed-dev
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

benchmarks: .venv/installed-dev
	for name in limits levers growth overhead scoring board; do $(BIN)/python -m benchmarks.$$name || exit 1; done

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info

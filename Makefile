# Two commands on a fresh machine: `make demo` and `make test`. Each does all of its own set-up.

VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup setup-dev demo test check bench clean

setup:  ## leaves the command at .venv/bin/linkweather
	@bash setup.sh run

setup-dev:
	@bash setup.sh test

demo: setup
	@$(BIN)/linkweather demo

check: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/pytest

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-data

# Two commands matter: `make demo` shows it, `make test` proves it. Each sets up all it needs into .venv/.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo test check bench faults lock clean
demo: .venv/.run-ready
	@$(BIN)/cartwake demo $(ARGS)

test: .venv/.dev-ready
	@$(BIN)/pytest $(ARGS)

check: .venv/.dev-ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# -- set-up: a virtual environment with locked versions, then Kafka's jars -----------------------------------
.venv/.run-ready: requirements/run.txt requirements/setup.sh pyproject.toml
	@sh requirements/setup.sh "$(PYTHON)" run

.venv/.dev-ready: requirements/dev.txt requirements/setup.sh pyproject.toml
	@sh requirements/setup.sh "$(PYTHON)" dev

# Needs uv; writes versions with hashes and names no index.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/run.in -o requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/dev.in -o requirements/dev.txt

clean:
	rm -rf .venv .cartwake .mypy_cache .ruff_cache .pytest_cache .hypothesis

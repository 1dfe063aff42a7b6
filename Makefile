# Two commands matter: `make demo` shows it, `make test` proves it. Each sets up all it needs into .venv/.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo test check bench faults lock clean
demo: .venv/.local-ready
	@$(BIN)/cartwake demo $(ARGS)

test: .venv/.dev-ready
	@$(BIN)/python -m tests.run $(ARGS)

check: .venv/.dev-ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/.dev-ready
	@$(BIN)/python -m bench carts $(ARGS)

faults: .venv/.dev-ready
	@$(BIN)/python -m tests.faults $(ARGS)

# -- set-up: a virtual environment with locked versions, then Kafka's jars -----------------------------------
.venv/.local-ready: requirements/local.txt requirements/setup.sh pyproject.toml
	@sh requirements/setup.sh "$(PYTHON)" local

.venv/.dev-ready: requirements/dev.txt requirements/setup.sh pyproject.toml
	@sh requirements/setup.sh "$(PYTHON)" dev

# Needs uv; writes versions with hashes and names no index. run: what a role needs (the Docker image); local: and one
# machine's own Kafka and ClickHouse; dev: and the tools. Each file keeps to the versions of the one before.
LOCK := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock:
	cd requirements && $(LOCK) run.in -o run.txt && $(LOCK) local.in -o local.txt && $(LOCK) dev.in -o dev.txt && $(LOCK) bench.in -o bench.txt

clean:
	rm -rf .venv .venv-bench .cartwake .mypy_cache .ruff_cache .pytest_cache .hypothesis

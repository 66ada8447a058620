# Two commands do everything, set-up included: `make demo`, `make test`.

BIN := .venv/bin
PYTEST := $(BIN)/pytest -n $(or $(JOBS),2) --dist worksteal $(PYTEST_ARGS)
AGENT_C := $(wildcard src/relive/agent/*.[ch] src/relive/dwarf/*.[ch] src/relive/diff/*.[ch] src/relive/source/*.[ch])

.PHONY: help demo test test-all lint format bench clean

help:
	@echo 'make demo      set up, then watch relive change a running program'
	@echo 'make test      set up, check and test everything but the slow rest'
	@echo 'make test-all  the slow rest too: all real programs, their own test-suites'
	@echo 'make lint      ruff, mypy, import contract, clang-format'
	@echo 'make format    let ruff and clang-format write'
	@echo 'make bench     measure; tables go to benchmarks/results/'

demo:
	@tools/setup run
	@$(BIN)/relive demo

test:
	@tools/setup test
	@$(MAKE) --no-print-directory lint
	$(PYTEST) -m "not slow"

test-all:
	@tools/setup all
	@$(MAKE) --no-print-directory lint
	$(PYTEST)

lint:
	@tools/setup test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v clang-format >/dev/null; then echo clang-format --dry-run --Werror $(AGENT_C); \
	    clang-format --dry-run --Werror $(AGENT_C); \
	    else echo 'note: no clang-format, the C sources are not checked'; fi

format:
	@tools/setup test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	clang-format -i $(AGENT_C)

bench:
	@tools/setup all
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

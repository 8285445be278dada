# Two commands do everything: `make night` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
LATEST := $(shell git log -1 --format=%cd --date=format-local:%Y-%m-%d 2>/dev/null)

.PHONY: help night test check chaos bench ui clean
.DEFAULT_GOAL := help

help: ## show these lines
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 \t\2/p' Makefile

night: .ready ## run the newest night of this repository and print its briefing
	@$(BIN)/forge night $(if $(LATEST),--date $(LATEST))

test: .ready-dev ## run every check and every test (under 20 minutes)
	@sh .ci/system
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/python -m pytest -n 2 --dist worksteal

check: .ready-dev ## lint, types, import contracts and the quick tests (under a minute)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/python -m pytest -n 2 -m "not slow"

chaos: .ready-dev ## the long storms over queue, lease and nights: a million jobs, a million attempts, a hundred nights (two hours)
	@$(BIN)/python -m tests.chaos.queue_storm --long
	@$(BIN)/python -m tests.chaos.lease_storm --long
	@$(BIN)/python -m tests.chaos.night_storm

bench: .ready-dev ## measure beside the Python queues and print the tables of BENCHMARKS.md (20 minutes)
	@$(PYTHON) .ci/bootstrap.py requirements-peers.lock .venv-peers
	@$(PYTHON) .ci/bootstrap.py requirements-peers-arq.lock .venv-arq
	@$(BIN)/python -m tests.benchmarks

ui: .ready ## Dagster's web pages for this machine's nights, on loopback
	@$(BIN)/forge ui

clean: ## remove the environments and every cache; the nights under ~/.forge stay
	@rm -rf .venv .venv-peers .venv-arq .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

.PHONY: .ready .ready-dev
.ready:
	@$(PYTHON) .ci/bootstrap.py requirements.lock
.ready-dev: .ready
	@$(PYTHON) .ci/bootstrap.py requirements-dev.lock

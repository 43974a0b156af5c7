# The commands of the project, the same for people and for CI. Each one makes what it needs; a second run is quick.

# so that `make -f some/where/Makefile` works as well
IN := cd "$$(dirname "$(strip $(MAKEFILE_LIST))")" &&
MAKEFLAGS += --no-print-directory
# Where Python may not keep what it compiled, each of the many processes that a test starts compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE
PACKAGES := gateway channels billing templates ivr tests
ARGS ?=
# at least three, so that tests which disturb each other are seen on every machine; two more than there are cores, for many tests
# wait for a peer: with one more a fifth of two cores was idle; more than eight gain nothing
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); echo $$((n > 5 ? 8 : n + 2)))

.DEFAULT_GOAL := help
.PHONY: help run test check bench lock

help: ## this list
	@$(IN) sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

run: ## the gateway with simulators: a demo alert, then it stays up (ARGS="--exit" ends it after the alert)
	@$(IN) deploy/dev/environment.sh runtime && exec .venv/bin/tocsin demo $(ARGS)

test: ## everything that CI checks (ARGS="tests/billing -k hold" for some of the tests)
	@$(IN) deploy/dev/environment.sh development && deploy/dev/peers.sh
	@$(IN) $(MAKE) check
	@$(IN) exec .venv/bin/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

check: ## style, types and import contracts
	@$(IN) deploy/dev/environment.sh development
	@echo 'ruff check'; $(IN) .venv/bin/ruff check $(PACKAGES)
	@echo 'ruff format --check'; $(IN) .venv/bin/ruff format --check $(PACKAGES)
	@echo 'mypy --strict'; $(IN) .venv/bin/mypy --strict $(PACKAGES)
	@echo 'lint-imports'; $(IN) .venv/bin/lint-imports --no-logo

bench: ## measures and prints the table of rates (ARGS are passed on)
	@$(IN) deploy/dev/environment.sh development && deploy/dev/peers.sh
	@$(IN) exec .venv/bin/python -m tests.bench $(ARGS)

lock: ## writes requirements/*.txt anew (ARGS="--upgrade" for the newest versions)
	@$(IN) deploy/dev/environment.sh development
	@$(IN) deploy/dev/lock.sh $(ARGS)

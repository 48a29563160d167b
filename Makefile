# make demo   everything from a push to the SQL answer, in a throw-away folder
# make test   all checks and all tests, real services included
# make check  lint, types, contracts, unit tests: under two minutes
# make bench  the figures of README, into benchmarks/RESULTS.md
.PHONY: setup demo check test bench format lock clean
PY := .venv/bin
JOBS ?= 2
# many of the slow tests wait for something
ALL_JOBS ?= 3

setup:
	@scripts/bootstrap

demo: setup
	@$(PY)/python scripts/demo.py

lint: setup
	@echo "· ruff, mypy, import contracts"
	@$(PY)/ruff check . && $(PY)/ruff format --check .
	@$(PY)/mypy
	@$(PY)/lint-imports --cache-dir .build/import-linter | tail -n 4

check: lint
	@echo "· fast tests"
	@$(PY)/pytest -n $(JOBS) -m "not slow and not real"

test: lint
	@scripts/test-services
	@echo "· all tests"
	@trap 'tests/real/slurm/up release 20' EXIT; trap 'exit 130' INT TERM; $(PY)/pytest -n $(ALL_JOBS)

bench: setup
	@$(PY)/python -m benchmarks

format: setup
	@$(PY)/ruff check --fix-only -q . ; $(PY)/ruff format -q .

lock:
	@.build/uv/bin/uv lock

clean:
	rm -rf .venv .build

# Every recipe does the set-up it needs; `make help` lists them. Paths are relative, so that the checkout may stand anywhere.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
# rustup puts cargo here, and a shell that was open before does not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

VENV ?= .venv
ENV ?= backtest
FUZZ_SECONDS ?= 60
FUZZ_EXAMPLES ?= 20000
SOAK_SECONDS ?= 60
# One more than there are processors: tests that wait (for a process, a socket, a deadline) leave theirs to others.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PY = $(VENV)/bin/python
TICKRAIL = $(PY) -m tickrail
VENV_FULL = $(if $(filter /%,$(VENV)),$(VENV),$(CURDIR)/$(VENV))

# A virtual environment does not survive being moved: the stamps carry the place they were made for.
PLACE := $(shell pwd | cksum | cut -d' ' -f1)
DEPENDENCIES = $(VENV)/.dependencies-$(PLACE)
BUILT = $(VENV)/.built-$(PLACE)
SOURCES := $(shell find rust/core rust/python -name '*.rs' -o -name Cargo.toml)
MODELS = $(wildcard rust/models/Cargo.toml)

.PHONY: help build coverage run test check lint rust-test models models-deep mutants race python-test quick bench bench-delivery bench-rings fuzz soak soak-commands wheel constraints clean force

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

$(DEPENDENCIES): requirements/constraints.txt $(if $(wildcard $(VENV)/bin/python),,force)
	@sh .ci/environment.sh $(VENV)
	@touch $@

$(BUILT): $(DEPENDENCIES) Cargo.toml Cargo.lock pyproject.toml $(SOURCES) $(if $(wildcard python/tickrail/_native*.so),,force)
	@sh .ci/require.sh >/dev/null
	VIRTUAL_ENV="$(VENV_FULL)" $(VENV)/bin/maturin develop --release --locked $$($(PY) -c 'import pip' 2>/dev/null || echo --uv)
	@touch $@

build: $(BUILT) ## Set up .venv with the pinned dependencies and build the native module

data/demo.ticks: | $(BUILT)
	@mkdir -p data
	$(TICKRAIL) data generate $@ --ticks 5000000 --seed 7 --instrument EURUSD.SIM

run: $(BUILT) data/demo.ticks ## Generate 5 million ticks and backtest config/backtest over them (ENV=name for another environment)
	$(TICKRAIL) run --env $(ENV)

test: rust-test $(if $(MODELS),models) python-test ## Run the whole suite: cargo tests, model checks, pytest with examples and documents

rust-test: $(BUILT)
	cargo test --locked --package tickrail-core --package rust-ema

models: $(BUILT) ## Check the lock-free sources under loom: every interleaving of the models; whole runs under random schedules
	cargo test --release --locked --workspace --manifest-path $(MODELS) --target-dir "$${CARGO_TARGET_DIR:-target}/models"

models-deep: $(BUILT) ## The larger models, three changes of thread each, and 20,000 schedules of every run (15 minutes)
	LOOM_MAX_PREEMPTIONS=3 cargo test --release --locked --manifest-path $(MODELS) --target-dir "$${CARGO_TARGET_DIR:-target}/models" -- --ignored
	SCHEDULES=20000 cargo test --release --locked --package tickrail-schedules --manifest-path $(MODELS) --target-dir "$${CARGO_TARGET_DIR:-target}/models"

mutants: $(DEPENDENCIES) ## Seed faults into the lock-free sources, one after the other; every one has to be caught (5 minutes)
	$(PY) tests/mutants/mutants.py

race: $(BUILT) ## ThreadSanitizer over the stress tests of rings and feeds
	sh .ci/race.sh

python-test: $(BUILT)
	$(PY) -m pytest -n $(WORKERS) --dist worksteal

lint: $(BUILT) ## Check formatting, clippy, ruff and mypy --strict
	@sh .ci/require.sh lint >/dev/null
	cargo fmt --all --check
	$(if $(MODELS),cargo fmt --manifest-path $(MODELS) --check)
	PYO3_PYTHON="$(VENV_FULL)/bin/python" cargo clippy --locked --workspace --all-targets -- -D warnings
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m mypy examples

check: ## Everything a commit has to pass: lint, then test, each once
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory test

quick: $(BUILT) ## The tests that take under a minute together
	$(PY) -m pytest -n auto --dist worksteal -q -m "not slow and not real_data"

coverage: $(BUILT) ## Coverage of the rooms orchestration and config; fails where statements or branches of one are under 95 %
	@rm -rf .coverage && mkdir .coverage
	$(PY) -m coverage run -m pytest -n auto -q -m "not real_data"
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage report
	$(PY) -m coverage json -q -o .coverage/report.json
	$(PY) .ci/coverage_rooms.py .coverage/report.json 95

bench: $(BUILT) ## Print the table of measured figures, then the local benchmarks, then those of the core
	-$(PY) -m benches
	$(PY) -m pytest benches/local --benchmark-columns=median,iqr,ops,rounds -p no:cacheprovider -W default
	cargo bench --locked --package tickrail-core --benches

bench-delivery: $(BUILT) ## Print the table of tick delivery: every form against a plain native loop
	PYO3_PYTHON="$(VENV_FULL)/bin/python" cargo build --release --locked --package tickrail-bench
	cp "$${CARGO_TARGET_DIR:-target}/release/lib_bench_base.so" benches/_bench_base.so
	$(PY) -m benches.delivery_table

bench-rings: $(BUILT) ## Print the table of records between threads, with where the processors were
	$(PY) -m benches.rings_table

fuzz: $(BUILT) ## Fuzz the reader of tick files and the Arrow import, a minute each (FUZZ_SECONDS, FUZZ_EXAMPLES)
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$$(date +%s)000000 cargo test --release --locked --package tickrail-core --test fuzz_tick_files -- --nocapture
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(PY) -m pytest -q tests/property/test_fuzz_arrow.py
	MODEL_STEPS=300_000 LIVE_RUNS=300 $(PY) -m pytest -q tests/property -k "many_steps or many_runs"

soak: $(BUILT) ## Overload under every policy, a minute each, and a live run under commands for ten (SOAK_SECONDS): memory flat, accounts exact
	SOAK_SECONDS=$(SOAK_SECONDS) cargo test --release --locked --package tickrail-core --test overload -- --nocapture
	SOAK_SECONDS=$(SOAK_SECONDS) $(VENV)/bin/python -m pytest -q tests/faults/test_live_soak.py
	@$(MAKE) --no-print-directory soak-commands

soak-commands: SOAK_SECONDS = 600
soak-commands: $(BUILT) ## The live run under commands alone, and runs begun and ended, ten minutes (SOAK_SECONDS)
	SOAK_SECONDS=$(SOAK_SECONDS) $(VENV)/bin/python -m pytest -q -s tests/faults/test_command_soak.py

wheel: $(BUILT) ## Build the wheel into dist/
	$(VENV)/bin/maturin build --release --locked --interpreter "$(VENV_FULL)/bin/python" --out dist

constraints: ## Pin the newest dependencies anew (needs uv)
	sh .ci/constraints.sh

clean: ## Remove what the other targets made, except data/
	rm -rf .venv target dist runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .benchmarks .asv
	rm -f python/tickrail/_native*.so benches/_bench_base.so
	find python tests benches examples -name __pycache__ -type d -prune -exec rm -rf {} +

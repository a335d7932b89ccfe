# World Models. `make repro` and `make test` work as the first command on a fresh clone.

PYTHON := python3.11
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
RUN := PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONHASHSEED=0
COMPILE := $(BIN)/uv pip compile --generate-hashes --no-emit-index-url --python-version 3.11 \
    --custom-compile-command "make lock" --quiet
PRESET :=
# Stages whose models `dvc push` puts into trained/: all but `push: false` in dvc.yaml.
MODELS := train_vae train_memory evolve train_vae_again train_memory_again carry_over evolve_again

.PHONY: setup repro models test test-full bench check-lock lint lock clean

setup: $(READY)  ## make .venv from requirements.lock

# uv builds box2d-py from its source with swig (see pyproject.toml); compiler and headers are the machine's.
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "setup: Python 3.11 is missing: expected $(PYTHON) on the PATH; install it, or name yours: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@command -v c++ >/dev/null || { echo "setup: a C++ compiler is missing: expected c++ on the PATH, box2d-py is built with it; on Debian or Ubuntu: apt install g++, on macOS: xcode-select --install" >&2; exit 1; }
	@test -f "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" || { echo "setup: Python's headers are missing: expected Python.h where $(PYTHON) looks for it, box2d-py is built with it; on Debian or Ubuntu: apt install python3.11-dev python3.11-venv" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --python $(BIN)/python --quiet --require-hashes --compile-bytecode requirements.lock
	touch $@

# Environments of their own: .venv-gymnasium for a test, .venv-envpool for `make bench`.
$(VENV)-%/ready: requirements-%.lock $(READY)
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(BIN)/uv pip sync --python $(@D)/bin/python --quiet --require-hashes $<
	touch $@

repro: setup  ## run the pipeline; PRESET=tiny, default, overnight or paper writes that preset to params.yaml first
	@$(if $(PRESET),$(RUN) python -m worldmodels.presets $(PRESET))
	$(RUN) dvc repro

models: setup  ## the trained models of dvc.lock, from trained/ into models/
	@$(RUN) dvc pull $(MODELS) || { echo "models: expected the models of this dvc.lock in trained/, got what DVC says above: \`make repro\` trains missing ones; unsaved ones in models/ are yours, move them away" >&2; exit 1; }

test: setup lint $(VENV)-gymnasium/ready  ## run the tests
	$(RUN) python -m pytest -q -m "not slow" -n 2 --dist worksteal
	$(VENV)-gymnasium/bin/python -m pytest -q --confcutdir tests/over_gymnasium tests/over_gymnasium
	@$(RUN) python -m worldmodels.check_lock --warn

test-full: test  ## run the slow tests too
	$(RUN) python -m pytest -q -m slow

lint: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

bench: setup  ## measure speed: prints, and writes benchmarks/results.json and .png
	@$(MAKE) $(VENV)-envpool/ready || echo "bench: EnvPool cannot be installed here; measured without it" >&2
	$(RUN) python -m benchmarks

check-lock: setup  ## does dvc.lock fit the code and the parameters?
	@$(RUN) python -m worldmodels.check_lock

lock: $(READY)  ## resolve pyproject.toml's dependencies into requirements*.lock
	$(COMPILE) pyproject.toml --all-extras --output-file requirements.lock
	$(COMPILE) --group gymnasium --output-file requirements-gymnasium.lock
	$(COMPILE) --group envpool --output-file requirements-envpool.lock

clean:  ## remove what can be made again, checkpoints too, DVC's cache excepted
	@if [ -d scratch ]; then echo "checkpoints of interrupted stages:"; du -sh scratch; fi
	rm -rf $(VENV) $(VENV)-* data models logs scratch dvc_plots build *.egg-info \
	    .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

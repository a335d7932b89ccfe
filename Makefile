# World Models. `make repro` and `make test` work as the first command on a fresh clone.

# The newest of these that runs; a pyenv shim without its version does not.
PYTHONS := python3.13 python3.12 python3.11
ifeq ($(origin PYTHON), undefined)
PYTHON := $(firstword $(foreach python,$(PYTHONS),$(shell $(python) -c '' 2>/dev/null && echo $(python))))
endif
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
RUN := PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONHASHSEED=0
COMPILE := $(BIN)/uv pip compile --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
    --custom-compile-command "make lock" --quiet
PRESET :=
# DVC takes a folder without git for a mistake, unless it is told; `dvc exp` does need one.
define DVC_WITHOUT_GIT
if git rev-parse --git-dir >/dev/null 2>&1 && ! git check-ignore --quiet dvc.yaml; then \
    ! grep -qs no_scm .dvc/config.local || $(BIN)/dvc config --local --unset core.no_scm; \
elif ! grep -qs no_scm .dvc/config.local; then \
    $(BIN)/dvc config --local core.no_scm true && \
    echo "setup: no git repository here: \`dvc repro\` works, experiments (\`dvc exp\`) and \`git diff\` do not; for them: git init && git add -A && git commit -m 'World Models' && make setup"; \
fi
endef
# Stages whose models `dvc push` puts into trained/: all but `push: false` in dvc.yaml.
MODELS := train_vae train_memory draw_starts transfer evolve

# Columns of `make experiments`: the score, and what is named by group and key, a parameter.
SHOWN := Experiment|val_return_second|return_|[a-z_]+(\.[a-z_]+)+$$$$

.PHONY: setup repro models page experiments test test-full test-pythons bench docs cluster check-lock lint lock clean

setup: $(READY) .dvc/config.local  ## make .venv from requirements.lock
	@$(DVC_WITHOUT_GIT)

# uv builds box2d-py from its source with swig (see pyproject.toml); compiler and headers are the machine's.
# The project itself is installed last, since `sync` removes what the lock file does not name.
$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(if $(PYTHON),$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null,command -v uv >/dev/null) || { echo "setup: Python is missing: expected one of $(PYTHONS) on the PATH, or uv, which gets one, got $(if $(PYTHON),$$($(PYTHON) --version 2>&1 | head -n 1),neither); install one, or name yours: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@command -v c++ >/dev/null || { echo "setup: a C++ compiler is missing: expected c++ on the PATH, box2d-py is built with it; on Debian or Ubuntu: apt install g++, on macOS: xcode-select --install" >&2; exit 1; }
	@test -x $(BIN)/python || test -z "$(PYTHON)" || test -f "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" || { echo "setup: Python's headers are missing: expected Python.h where $(PYTHON) looks for it, box2d-py is built with it; on Debian or Ubuntu: apt install $(PYTHON)-dev $(PYTHON)-venv" >&2; exit 1; }
	@echo "setup: $$(grep -c '^[a-z].*==' requirements.lock) packages into $(VENV), for $(if $(wildcard $(BIN)/python)$(PYTHON),$$($(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) --version),a Python 3.13 of uv), 3 GB: about two minutes, and as long as their download takes"
	test -x $(BIN)/python || $(if $(PYTHON),$(PYTHON) -m venv $(VENV),uv venv --quiet --seed --python 3.13 $(VENV))
	test -x $(BIN)/uv || $(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	touch $@

# `dvc exp push` and `dvc push -a` read .dvc/config in another commit, where ../trained is /trained at the
# root of the file system. This file is never in a commit: here it is the clone's trained/ for them, too.
.dvc/config.local:
	printf '%s\n' "['remote \"trained\"']" "    url = ../trained" > $@

# Environments of their own: for tests, and for `make bench`.
$(VENV)-%/ready: requirements-%.lock $(READY)
	test -x $(@D)/bin/python || $(BIN)/python -m venv $(@D)
	$(BIN)/uv pip sync --python $(@D)/bin/python --quiet --require-hashes $<
	touch $@

repro: setup  ## run the pipeline; PRESET=tiny, default, overnight or paper writes that preset to params.yaml first
	@$(if $(PRESET),$(RUN) python -m worldmodels.pipeline.presets $(PRESET))
	$(RUN) dvc repro

models: setup  ## the trained models of dvc.lock, from trained/ into models/
	@$(RUN) dvc pull $(MODELS) || { echo "models: expected the models of this dvc.lock in trained/, got what DVC says above: \`make repro\` trains missing ones; unsaved ones in models/ are yours, move them away" >&2; exit 1; }

page: models  ## page.html: drive, dream and drag the latents of the recorded agent; it needs no server
	$(RUN) python -m worldmodels.page --write page.html

experiments: setup  ## what was tried: the scores, and the parameters that differ; `dvc exp show` has more
	@$(RUN) dvc exp show --only-changed --drop '(?!$(SHOWN))'

test: setup lint $(VENV)-gymnasium/ready  ## run the tests
	$(RUN) python -m pytest -q -m "not slow" -n 2 --dist worksteal --timeout 1500
	$(VENV)-gymnasium/bin/python -m pytest -q --confcutdir tests/over_gymnasium tests/over_gymnasium
	@$(RUN) python -m worldmodels.pipeline.check_lock --warn

test-full: test  ## run the slow tests too
	$(RUN) python -m pytest -q -m slow
	$(MAKE) $(VENV)-stable-baselines3/ready
	$(VENV)-stable-baselines3/bin/python -m pytest -q --confcutdir tests/over_gymnasium tests/over_gymnasium/test_stable_baselines3.py

test-pythons:  ## the same on every supported Python that is there, each in an environment of its own
	@for python in $(PYTHONS); do \
	    ! $$python -c '' 2>/dev/null || $(MAKE) test PYTHON=$$python VENV=.venv-$$python || exit 1; \
	done

lint: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

bench: setup  ## measure speed: prints, and writes benchmarks/results.json and .png
	@$(MAKE) $(VENV)-gymnasium/ready
	@$(MAKE) $(VENV)-envpool/ready || echo "bench: EnvPool cannot be installed here; measured without it" >&2
	$(RUN) python -m benchmarks

# Into .venv, at the versions of requirements.lock where both name a package; a later `make setup` that has
# something to do removes it, and is then newer than the stamp.
$(VENV)/docs-ready $(VENV)/cluster-ready: $(VENV)/%-ready: requirements-%.lock $(READY)
	$(BIN)/uv pip install --python $(BIN)/python --quiet --require-hashes --compile-bytecode -r $<
	touch $@

cluster: setup $(VENV)/cluster-ready  ## Ray, for a cluster: docs/scaling.md

# The variable leaves out Material's notice of its end of life, 2027-05-05; what follows it is Zensical.
docs: $(VENV)/docs-ready  ## build the documentation: site/index.html
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict

check-lock: setup  ## does dvc.lock fit the code and the parameters?
	@$(RUN) python -m worldmodels.pipeline.check_lock

lock: $(READY)  ## resolve pyproject.toml's dependencies into requirements*.lock
	$(COMPILE) pyproject.toml --all-extras --output-file requirements.lock
	$(COMPILE) --group gymnasium --output-file requirements-gymnasium.lock
	$(COMPILE) --group stable-baselines3 --constraint requirements-gymnasium.lock --output-file requirements-stable-baselines3.lock
	$(COMPILE) --group envpool --output-file requirements-envpool.lock
	$(COMPILE) --group docs --constraint requirements.lock --output-file requirements-docs.lock
	$(COMPILE) --group cluster --constraint requirements.lock --output-file requirements-cluster.lock

clean:  ## remove what can be made again, checkpoints too, DVC's cache excepted
	@if [ -d scratch ]; then echo "checkpoints of interrupted stages:"; du -sh scratch; fi
	rm -rf $(VENV) $(VENV)-* data models logs scratch dvc_plots site build *.egg-info \
	    .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

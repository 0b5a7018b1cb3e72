# Everything a developer runs. Each target sets up what it needs by itself, in .venv;
# the set-up is repeated only when setup.cfg or the pinned versions have changed.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
CONSTRAINTS := tools/constraints.txt
RUN := $(VENV)/bin/python
# Names, because `call` splits its arguments at commas.
BASE := .[garden,test,docs]
WITH_PARITY := .[garden,test,docs,parity]
WITHOUT_GARDEN := .[test,docs]

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo applications test check \
	parity browser test-tf221 clean

help:  ## this list
	@echo "make TARGET [PYTHON=python3.12] [JOBS=2]"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1|\2/p' Makefile | \
		while IFS='|' read -r name what; do printf '%-14s %s\n' "$$name" "$$what"; done

# The wheels are large (TensorFlow alone has 600 MB), so interruptions will happen, and
# pip takes a half-written package for an installed one. Hence `installing` is there
# from before the first change until after the last, and whoever finds it starts anew.
# $(1): directory of the environment, $(2): constraints, $(3): what to install
define install
@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	echo "error: zoo needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is" \
		"$$($(PYTHON) --version 2>&1). Name another: make $(MAKECMDGOALS)" \
		"PYTHON=python3.12" >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "error: this Python cannot make virtual environments. On Debian and" \
		"Ubuntu: apt install python3-venv" >&2; exit 1; }
@if [ -e $(1)/installing ] || ! $(1)/bin/python -m pip --version >/dev/null 2>&1; then \
	echo "Making a virtual environment in $(1)"; \
	$(PYTHON) -m venv --clear $(1); fi
@rm -f $(1)/ready-*
@touch $(1)/installing
@echo "Installing $(3) into $(1) (minutes at the first time)"
@$(1)/bin/python -m pip install --quiet --disable-pip-version-check \
	--constraint $(2) --upgrade pip setuptools
@$(1)/bin/python -m pip install --quiet --disable-pip-version-check \
	--constraint $(2) --editable '$(3)'
@rm -f $(1)/installing
endef

$(VENV)/ready-base: setup.cfg pyproject.toml $(CONSTRAINTS)
	$(call install,$(VENV),$(CONSTRAINTS),$(BASE))
	@touch $@

# `install` takes the first stamp away, for as long as the environment is in between.
$(VENV)/ready-parity: $(VENV)/ready-base
	$(call install,$(VENV),$(CONSTRAINTS),$(WITH_PARITY))
	@touch $(VENV)/ready-base $@

.venv-tf221/ready-base: setup.cfg pyproject.toml tools/constraints-tf221.txt
	$(call install,.venv-tf221,tools/constraints-tf221.txt,$(WITHOUT_GARDEN))
	@touch $@

setup: $(VENV)/ready-base  ## only the set-up of the other targets

demo: $(VENV)/ready-base  ## fine-tune, evaluate and export a text classifier on real reviews
	$(RUN) -m applications.text_classification

# As tools/recipe_results.py has them.
RECIPES := text_classification chinese_sentiment token_classification \
	question_answering translation summarization text_generation pretrain
RESULTS := runs/applications

applications: $(VENV)/ready-base  ## every recipe in full (an hour), and the table of results
	@mkdir -p $(RESULTS); rm -f $(RESULTS)/failed
	@for recipe in $(RECIPES); do \
		echo "== $$recipe"; rm -rf $(RESULTS)/$$recipe; mkdir $(RESULTS)/$$recipe; \
		{ $(RUN) -m applications.$$recipe --output $(RESULTS)/$$recipe 2>&1 || \
			echo "$$recipe" >> $(RESULTS)/failed; } | \
			tee $(RESULTS)/$$recipe/output.txt; done
	$(RUN) -m tools.recipe_results --runs $(RESULTS)
	@! [ -e $(RESULTS)/failed ] || { \
		echo "error: failed:" $$(cat $(RESULTS)/failed) >&2; exit 1; }

test: $(VENV)/ready-base  ## the test suite
	$(RUN) -m pytest --numprocesses=$(JOBS) --dist=worksteal

check: $(VENV)/ready-base  ## ruff, mypy, and which file may import which
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-logo

parity: $(VENV)/ready-parity  ## compare every family with its reference (torch, transformers)
	$(RUN) -m pytest -m parity --numprocesses=$(JOBS) --dist=worksteal

browser: $(VENV)/ready-base  ## open TensorBoard in a browser (needs Debian's package chromium)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
		command -v google-chrome >/dev/null || { \
		echo "error: there is no Chromium. On Debian and Ubuntu: apt install" \
			"chromium" >&2; exit 1; }
	$(RUN) -m pytest -m browser

test-tf221: .venv-tf221/ready-base  ## the test suite on TensorFlow 2.21, in .venv-tf221
	.venv-tf221/bin/python -m pytest --numprocesses=$(JOBS) --dist=worksteal

clean:  ## remove the environments and all caches of tools
	rm -rf .venv .venv-tf221 .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache build dist *.egg-info runs
	find zoo applications tools tests -name __pycache__ -prune -exec rm -rf {} +

# Everything happens in .venv, which the targets make for themselves. Needs Python 3.11 or newer, git and make.
#   make PYTHON=/path/to/python3.12 test     another interpreter
#   make ARGS='-k retention' test            arguments for pytest
#   make ARGS='damage races' torture         only kinds whose names hold one of these words

NEWEST = for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; exit; }; done; echo python3
PYTHON ?= $(shell $(NEWEST))
VENV := .venv
BIN := $(VENV)/bin
# A plain path to the checkout instead of an import hook, and compiled modules: every start is a third quicker.
EDITABLE := --config-settings editable_mode=compat -e
COMPILED = $(BIN)/python -m compileall -q gitsnap
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install
ARGS ?=
VERSIONS ?= 3.11 3.12 3.13 3.14
VERSION ?=

# Where nothing is compiled to stay, every run of the tests begins with ten seconds of it.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test pythons quick torture check test-mcp test-ansible upgrades bench bench-full lint format man docs pictures dist zipapp deb pinned release clean

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed ## Break a small installation with an upgrade, roll it back, compare
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh

test: $(VENV)/.installed-dev ## Run all tests
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

# Looked for in PATH, in pyenv's folder and by uv, which gets what is missing. What nobody has is named, and a failure.
pythons: ## All tests on each Python of VERSIONS; what is not there, uv gets where it is installed
	@missing=; failed=; for version in $(VERSIONS); do \
		found=; \
		is_it() { "$$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" 2>/dev/null && found=$$1; }; \
		for python in python$$version "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python; do \
			! is_it "$$python" || break; \
		done; \
		if [ -z "$$found" ] && command -v uv >/dev/null; then \
			uv python find --no-project $$version >/dev/null 2>&1 || uv python install --no-bin $$version || :; \
			is_it "$$(uv python find --no-project $$version 2>/dev/null)" || :; \
		fi; \
		[ -n "$$found" ] || { echo "$$version: not there"; missing="$$missing $$version"; continue; }; \
		echo "$$version: $$found"; \
		$(MAKE) --no-print-directory PYTHON="$$found" VENV="build/python-$$version" test || failed="$$failed $$version"; \
	done; \
	test -z "$$missing" || echo "not tested:$$missing. Get them: uv python install$$missing," \
		"or from pyenv or your system; or name those that you have: make VERSIONS='3.11 3.12' pythons" >&2; \
	test -z "$$failed" || echo "failed:$$failed" >&2; \
	test -z "$$missing$$failed"

quick: $(VENV)/.installed-dev ## Run the tests that start no other program: 40 seconds
	@$(BIN)/python -m pytest -n 2 --dist worksteal --quick $(ARGS)

torture: $(VENV)/.installed-dev ## All points of the proof: kills, errors, damage, hostile sidecars, races, churn, fuzzing
	@$(BIN)/python -m tests.torture -j 2 $(ARGS)
	@test -n "$(ARGS)" || $(BIN)/python -m pytest -n 2 --dist worksteal --thorough -m "hypothesis or sampled"

# The tests come last and run even after a complaint, so that one run tells everything and ends with their summary. They
# are compiled beside the lint, which leaves a processor idle: each of the workers would do it otherwise.
check: $(VENV)/.installed-dev ## Formatting, lint, types, layers, then all tests with the links in the docs
	@failed=; \
	$(BIN)/python -m pytest --collect-only -qq >/dev/null 2>&1 & \
	$(MAKE) --no-print-directory lint || failed=1; \
	wait; \
	$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS) || failed=1; \
	test -z "$$failed"

lint: $(VENV)/.installed-dev ## Formatting, lint, types and layers alone
	@failed=; \
	for tool in 'ruff format --check .' 'ruff check .' mypy 'mypy docs/examples' lint-imports; do \
		echo "$$tool"; $(BIN)/$$tool || failed="$$failed [$$tool]"; \
	done; \
	test -z "$$failed" || { echo "not clean:$$failed" >&2; exit 1; }

bench: $(VENV)/.installed ## Side by side with git, restic, borg and cp, in BENCH_ROOT (build/bench): a few minutes
	@$(BIN)/python -m tests.bench.run $(ARGS) nodered mini

bench-full: $(VENV)/.installed ## The same with 78,600 files, with one of 2 GB, and growth curves: an hour, 12 GB of disk
	@$(BIN)/python -m tests.bench.run $(ARGS) --growth linux patched bigfile

test-mcp: $(VENV)/.installed-dev ## Tests of the server for agents, with the SDK, which other targets do without
	@$(PIP) $(EDITABLE) '.[dev,mcp]' && $(BIN)/python -m pytest tests/cli/test_agents.py $(ARGS)

test-ansible: $(VENV)/.installed-dev ## The Ansible role, by a real ansible-core, which goes to build/ansible
	@test -x build/ansible/bin/ansible-playbook || { $(PYTHON) -m venv build/ansible && \
		build/ansible/bin/python -m pip --disable-pip-version-check -qq install 'ansible-core>=2.15'; }
	@GITSNAP_TEST_ANSIBLE="$(CURDIR)/build/ansible/bin" $(BIN)/python -m pytest tests/release/test_ansible.py $(ARGS)

upgrades: $(VENV)/.installed-dev ## Real upgrades from the package registries: whether `changelog` tells each version rightly
	@$(BIN)/python -m tests.compat.upgrades $(ARGS)

format: $(VENV)/.installed-dev ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

man: $(VENV)/.installed ## The manual pages, from docs/reference and the parser, in build/man
	@rm -rf build/man
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null)} \
		$(BIN)/python -m gitsnap.cli.manual.write build/man

api: $(VENV)/.installed ## The reference of the Python API, docs/reference/api.md, from its docstrings and docs/examples
	@$(BIN)/python -m packages.api_reference docs/reference/api.md

docs: $(VENV)/.installed ## The documentation as a site, in build/site; a link that leads nowhere fails it
	@$(PIP) $(EDITABLE) '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo build/site/index.html

pictures: $(VENV)/.installed ## The pictures in docs/pictures, taken anew of real runs; needs tmux
	@$(BIN)/python -m packages.screenshots

dist: $(VENV)/.installed-dev ## Source distribution and wheel, the same bytes wherever they are built, in dist/
	@$(BIN)/python -m packages.dist dist

zipapp: dist ## gitsnap and all that it needs as one file, for this Python and this kind of machine, in dist/
	@$(BIN)/python -m packages.onefile dist

deb: dist ## Debian packages, gitsnap and gitsnap-apt, for this Python and this architecture, in dist/
	@$(BIN)/python -m packages.deb dist

release: ## Check, build all of it, and write the CHANGELOG's section: make VERSION=1.2.3 release; uploads nothing
	@$(MAKE) --no-print-directory $(VENV)/.installed-dev && $(PIP) $(EDITABLE) '.[dev,release]'
	@$(BIN)/python -m packages.release '$(VERSION)'

pinned: ## The newest versions of what the zipapp and the Debian package ship, with digests; needs uv
	@uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-annotate \
		--custom-compile-command 'make pinned' pyproject.toml -o packages/pinned.txt

clean: ## Remove .venv, caches and build products
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "gitsnap needs Python 3.11 or newer and '$(PYTHON)' is not: make PYTHON=/path/to/one" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	@echo "installing gitsnap into $(VENV)"
	@$(PIP) $(EDITABLE) . && $(COMPILED)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml
	@echo "installing gitsnap and its development tools into $(VENV)"
	@$(PIP) $(EDITABLE) '.[dev]' && $(COMPILED)
	@touch $(VENV)/.installed $@

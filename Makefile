# Everything a person or CI does with Postroom. Needs Python 3.11 with venv and pip; nothing else.
.DEFAULT_GOAL := help
.PHONY: help install ldap run test check format lint types layers coverage bench standards lock clean

PYTHON ?=
BIN := .venv/bin
VENV := .venv/pyvenv.cfg
STAMP := .venv/installed
WORKERS ?= 2

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## .venv with the locked dependencies and the postroom command; PYTHON=... says by which Python

# An environment stays with the Python that it was made with: `make clean install` chooses again.
$(VENV):
	@python=$$(tools/choose-python "$(PYTHON)") && echo "$$python -m venv .venv" && \
		{ "$$python" -m venv --clear .venv || { rm -rf .venv; exit 1; }; }

$(STAMP): $(VENV) requirements-dev.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

ldap: $(STAMP)  ## the extra for LDAP, compiled: needs a C compiler and the headers of Python, libldap and libsasl2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-ldap.txt

run: $(STAMP)  ## the server with a demo domain, everything set up
	@$(BIN)/postroom demo

test: $(STAMP)  ## all tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

check: format lint types layers coverage  ## format, lint, types, layers, tests with coverage: the same here and in CI

format: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

coverage: $(STAMP)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='*/postroom/protocol/*' --fail-under=100 --show-missing --skip-covered
	$(BIN)/coverage report --omit='*/postroom/protocol/*' --fail-under=90 --show-missing --skip-covered

bench: $(STAMP)  ## side by side against Postfix, where it is installed
	$(BIN)/python -m bench
	$(BIN)/python -m bench.signatures

standards: $(STAMP)  ## docs/standards.md anew, from the citations in code and tests
	$(BIN)/python -m tests.standards > docs/standards.md

lock:  ## renew the locked dependencies (needs uv)
	uv pip compile --upgrade --no-header --no-annotate --generate-hashes --python-version 3.11 pyproject.toml --output-file requirements.txt --quiet
	uv pip compile --upgrade --no-header --no-annotate --generate-hashes --python-version 3.11 pyproject.toml --group dev --output-file requirements-dev.txt --quiet
	echo 'bonsai>=1.5.5' | uv pip compile --upgrade --no-header --no-annotate --generate-hashes --python-version 3.11 - --output-file requirements-ldap.txt --quiet

clean:  ## remove what was made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage .coverage.* dist

# run: install what is locked and run the pipeline    test: run the tests    lint: style and types
# test-slow: what takes long    test-services: on real services    test-chaos: which are killed, and counted for minutes
# lock: resolve the dependencies anew    audit: known holes in what is locked    docs: the documentation as pages
# pictures: those in it, of the last run
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
LOCK_COMMAND := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --group dev pyproject.toml
# to look through all files for these few tests takes longer than some of them
ON_SERVICES = $$(grep -rl --include='test_*.py' 'mark\.services' tests)

# without bytecode every start takes three times as long; it stays in .venv and __pycache__
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-slow test-services test-chaos lint audit lock docs pictures

run: $(INSTALLED)
	@$(BIN)/tercet run

test: $(INSTALLED)
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-slow: $(INSTALLED)
	@$(BIN)/python -m pytest -m "slow and not services"

test-services: $(INSTALLED)
	@$(BIN)/python -m pytest -m "services and not slow" $(ON_SERVICES)

test-chaos: $(INSTALLED)
	@$(BIN)/python -m pytest -m "services and slow" $(ON_SERVICES)

lint: $(INSTALLED)
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive tasks flows tercet.py

# asks PyPI, itself or a mirror that passes on what it knows; a package that it is not told of fails it
audit: $(INSTALLED)
	@$(BIN)/uv tool run pip-audit@2.10.1 --strict --disable-pip --require-hashes --requirement requirements.lock

docs: $(INSTALLED)
	@$(BIN)/python -m sphinx -q -W --keep-going -c infra/docs infra .tercet/docs && echo .tercet/docs/docs/index.html

pictures: $(INSTALLED)
	@$(BIN)/python -m tests.pictures infra/pictures

lock: $(INSTALLED)
	@$(LOCK_COMMAND) --custom-compile-command "make lock" --output-file requirements.lock

# uv installs the lock in seconds; it comes with its own hash from the same lock
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ /p}' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement .venv/uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

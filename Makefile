# Two commands on a fresh machine: `make estimate` and `make test`. Needs Python 3.11 and gcc.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: estimate test test-slow lint install model clean

# The fast head, on a machine of each kind, beside the published one.
estimate: $(STAMP)
	@$(BIN)/fhecost estimate

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

# FHE executions and long compilations, some minutes.
test-slow: $(STAMP)
	$(BIN)/pytest -m slow

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gpt2,concrete,figures,explore,search,sweep,parquet,dev]'
	@touch $(STAMP)

# Trains the embedded model anew from a folder of plain text: make model CORPUS=folder
model: $(STAMP)
	$(BIN)/python models/train.py --corpus $(CORPUS) --output models/embedded

clean:
	rm -rf .venv

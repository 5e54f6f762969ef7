# Every target makes what it needs; `make demo` and `make test` work in a fresh clone with Python 3.11+ only.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FOR ?=
BROKER ?= embedded
DATA ?= plant
DETECTOR ?=
API_PORT ?= 8000
FLOWER := flwr[simulation]==1.41.*
FLOWER_CLIENTS := $(shell grep -E '^(torch|scipy|numpy)==' constraints.txt 2>/dev/null)
TABLE ?=

.PHONY: demo test test-unit test-chaos check bench-speed bench-quality bench-flower kafka schemas clean help

help:  ## This list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# uv installs in seconds what takes pip a minute; where it cannot be had, pip does.
# Byte code is compiled at once: torch alone takes 2 s longer to import without it, in every process.
$(READY): pyproject.toml constraints.txt
	@echo "== Python environment in $(VENV) (once; 1 to 2 minutes, about 5 GB)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version); set PYTHON=python3.x"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@{ $(BIN)/python -m pip install --quiet --disable-pip-version-check uv \
	  && $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[all,test,dev]'; \
	} || { echo "== uv could not do it; pip takes a minute or two longer"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,test,dev]'; }
	@touch $@

demo: $(READY)  ## The whole chain on this machine. FOR=90 ends by itself; DATA=nsl-kdd; BROKER=kafka; DETECTOR=mlp; API_PORT=0.
	@$(BIN)/streamgauge demo $(if $(FOR),--for $(FOR)) --data $(DATA) --broker $(BROKER) $(if $(DETECTOR),--detector $(DETECTOR)) --api-port $(API_PORT)

# Unit tests share nothing, so two processes run them; the others have brokers and processes of their own to feed.
# Their byte code is kept, whatever the environment says: pytest rewrites all assertions without it, 3 s a process.
UNIT := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest tests/unit -n 2 --dist loadfile
OTHERS := $(BIN)/python -m pytest tests/contract tests/e2e tests/integration -m "not chaos"

test: $(READY)  ## All tests (15 minutes at most on 2 cores).
	@$(UNIT) $(ARGS); unit=$$?; $(OTHERS) $(ARGS); others=$$?; exit $$((unit > others ? unit : others))

test-unit: $(READY)  ## Fast tests without brokers.
	@$(UNIT) $(ARGS)

test-chaos: $(READY)  ## Long random kill suites, properties on many examples; prints its seed. SEED=n repeats a run.
	@$(UNIT) -m hypothesis --hypothesis-profile=thorough $(ARGS); unit=$$?; \
	$(BIN)/python -m pytest -m chaos -s $(ARGS); others=$$?; exit $$((unit > others ? unit : others))

check: $(READY)  ## Format, lint, types.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench-speed: $(READY)  ## Speed of the real loop beside others; writes docs/results/.
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[bench]' \
	  || $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	@$(BIN)/python -m benchmarks.speed $(ARGS)

bench-quality: $(READY)  ## The papers' tables and the strict one. TABLE=strict; ARGS="--list"; all but `plant` need STREAMGAUGE_DATA.
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[bench]' \
	  || $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	@$(BIN)/python -m benchmarks.quality $(TABLE) $(ARGS)

# Flower pins old versions of the web stack: it has an environment of its own; its clients train with our library.
bench-flower: $(READY)  ## Our rules and wall time beside Flower's; docs/results/quality/. ARGS="--only speed" needs data.
	@test -x var/flower/bin/python || $(PYTHON) -m venv var/flower
	@$(BIN)/uv pip install --quiet --python var/flower/bin/python '$(FLOWER)' $(FLOWER_CLIENTS) \
	  || var/flower/bin/python -m pip install --quiet '$(FLOWER)' $(FLOWER_CLIENTS)
	@$(BIN)/python -m benchmarks.flower --python var/flower/bin/python $(ARGS)

kafka: $(READY)  ## A real Apache Kafka on this machine (Java 17 and Maven); keeps its data in var/kafka.
	@$(BIN)/streamgauge kafka

schemas: $(READY)  ## Write the JSON Schemas of all messages.
	@$(BIN)/streamgauge schemas export

clean:  ## Remove environment and caches (not var/).
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

.DEFAULT_GOAL := help
VENV ?= .venv
PY := $(VENV)/bin/python
RUN := $(VENV)/.requirements
DEV := $(VENV)/.requirements-dev
INSTALL = python=$$($(SHELL) scripts/find_python.sh) && "$$python" scripts/install.py $(VENV)
ARGS ?=

.PHONY: help run run-sms run-spearlet build samples proto test e2e e2e-linux chaos check format bench load

help: ## show this help
	@while IFS= read -r line; do case "$$line" in [a-z]*": "*"## "*) \
	  rest=$${line#*"## "}; printf '  make %-13s %s\n' "$${line%%:*}" "$$rest";; esac; done < Makefile
	@printf '\nPass options on with ARGS, for example: make run ARGS="--http-addr 127.0.0.1:9090"\n'

run: $(RUN) ## install, start everything in one process, run the hello agent, serve until Ctrl-C
	@$(PY) -m scripts.run $(ARGS)

run-sms: $(RUN) ## serve as the metadata server alone
	@$(PY) spear_server.py --role sms $(ARGS)

run-spearlet: $(RUN) ## serve as a SPEARlet alone; ARGS="--auto-register" joins the SMS of run-sms
	@$(PY) spear_server.py --role spearlet --http-addr 127.0.0.1:8082 --data-dir ./data/spearlet $(ARGS)

build: $(RUN) ## install what running needs and compile every module
	@$(PY) -m compileall -q spear admin spear_server.py

samples: $(DEV) ## build the sample agents into samples/build
	@$(PY) scripts/build_samples.py $(ARGS)

proto: $(DEV) ## generate the Python of proto/
	@$(PY) -m scripts.make_proto $(ARGS)

test: $(DEV) build ## set up everything and run every test
	@$(PY) -c "import pytest, xdist" 2>/dev/null || { echo "spear: no test runs without pytest and pytest-xdist; pip says why above" >&2; exit 1; }
	@$(SHELL) scripts/install_browser.sh
	@$(SHELL) scripts/install_engine.sh
	@$(PY) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

e2e: $(DEV) build ## run the tests that start real servers, alone
	@$(PY) -m pytest -q -n 3 --dist loadfile tests/e2e $(ARGS)

e2e-linux: e2e ## the same: nothing is compiled for a platform, so nothing is cross-built

chaos: $(DEV) ## kills and cuts: followers hear a million events (CHAOS_EVENTS), a fleet runs agents for 240 s (CHAOS_SECONDS)
	@CHAOS_EVENTS=$${CHAOS_EVENTS:-1000000} CHAOS_SECONDS=$${CHAOS_SECONDS:-240} $(PY) -m pytest -q -s -o faulthandler_timeout=0 tests/chaos $(ARGS)

check: $(DEV) ## format, lint, strict types, import directions
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports

format: $(DEV) ## rewrite the code in the one format
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: $(DEV) ## run every benchmark in loadtests/bench
	@for bench in loadtests/bench/[!_]*.py; do PYTHONPATH=. $(PY) "$$bench" $(ARGS) || exit 1; done

load: $(DEV) ## load a server of its own for 60 seconds (LOAD_SECONDS) and check every answer
	@$(PY) -m loadtests.run

$(RUN): requirements.txt
	@$(INSTALL) requirements.txt

$(DEV): requirements-dev.txt $(RUN)
	@$(INSTALL) requirements-dev.txt --optional

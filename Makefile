# Every command of the repository; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
MEMBERS := packages/cli packages/service_kit packages/autointerp packages/dataset[s3,gs] packages/embeddings packages/testing packages/engine packages/pipeline[generate] \
	packages/clients/memicos-inference-client packages/clients/memicos-autointerp-client packages/clients/memicos-client \
	services/webapp[embedded] services/inference services/autointerp
TOOLS := uv hatchling ruff pyright pip-audit import-linter openapi-python-client pytest pytest-asyncio pytest-xdist playwright axe-playwright-python \
	glassllm moto[s3] flask flask-cors psutil watchfiles python-dotenv schemathesis scikit-learn scipy neuronpedia neuronpedia-inference-client neuronpedia-autointerp-client
# the services that need no torch, and the packages that their tests use
LIGHT := packages/cli packages/service_kit packages/autointerp packages/dataset packages/embeddings packages/testing \
	packages/clients/memicos-inference-client packages/clients/memicos-autointerp-client \
	packages/clients/memicos-client services/webapp[embedded] services/autointerp
LIGHT_TOOLS := pytest pytest-asyncio pytest-xdist schemathesis scikit-learn scipy neuronpedia neuronpedia-autointerp-client
UV := .venv/bin/uv
BIN := .venv/bin
# uv verifies the hashes of the constraints. TORCH_LOCK=requirements.torch.lock: those of torch too, whose wheels differ
# by index; .ci/run sets it.
LOCKED := -c requirements.lock $(if $(TORCH_LOCK),-c $(TORCH_LOCK))
# pip verifies uv: its entry of the lock, to the line that does not end in a backslash
INSTALL_UV := $(PYTHON) -m venv .venv && sed -n '/^uv==/,/[^\]$$/p' requirements.lock >.venv/uv.txt && \
	.venv/bin/pip install -q --require-hashes -r .venv/uv.txt
# uv reads no pip configuration: pass on pip's index settings (empty if there are none)
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
# torch takes twice as long to import where Python may not keep what it compiled
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
# every target except the files that mark an environment as installed
.PHONY: $(shell sed -n 's/^\([a-z][a-z-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## list the commands
	@awk -F ':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z][a-z-]*:.*## /{printf "  make %-28s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

##@ Start here

demo: setup ## run the demo: database, three servers and data of a small model; Ctrl-C stops it
	@$(BIN)/python demo/run.py

setup: .venv/.ok ## create .venv from requirements.lock (other commands run it themselves)

.venv/.ok: requirements.lock $(foreach m,$(MEMBERS),$(firstword $(subst [, ,$(m)))/pyproject.toml)
	@test -x $(UV) || { $(INSTALL_UV); }
	$(UV) pip install -q -p .venv $(LOCKED) $(TOOLS) $(foreach m,$(MEMBERS),-e "$(m)")
	@touch $@

# 350 MB that only `--executor ray` of `memicos generate`, `explain` and `score`, and its tests, need
.venv/.ray: .venv/.ok
	$(UV) pip install -q -p .venv $(LOCKED) -e "packages/pipeline[generate,ray]"
	@touch $@

generate-ray-install: .venv/.ray ## install Ray, for `--executor ray` of `memicos generate`, `explain` and `score`

doctor: ## list what memicos needs and this machine lacks, with the commands that install it (WITHOUT=docker,gpu,hub: what you do not use)
	@PYTHONPATH=packages/cli/src $(PYTHON) -m memicos_cli.doctor $(if $(WITHOUT),--without "$(WITHOUT)")

##@ Servers in the virtual environment

# The packages of each single service; nothing is installed where all packages are installed already.
CLIENTS := packages/clients
NEEDS_webapp := services/webapp[embedded] packages/cli packages/service_kit packages/dataset packages/embeddings \
	$(CLIENTS)/memicos-inference-client $(CLIENTS)/memicos-autointerp-client
NEEDS_inference := services/inference packages/cli packages/service_kit packages/engine
NEEDS_autointerp := services/autointerp packages/service_kit packages/autointerp packages/embeddings
INSTALL_TARGETS := .venv/.webapp .venv/.inference .venv/.autointerp

$(INSTALL_TARGETS): .venv/.%: requirements.lock $(wildcard packages/*/pyproject.toml services/*/pyproject.toml)
	@if ! $(MAKE) --no-print-directory -q .venv/.ok 2>/dev/null; then \
		test -x $(UV) || { $(INSTALL_UV); }; \
		$(UV) pip install -q -p .venv $(LOCKED) watchfiles $(foreach m,$(NEEDS_$*),-e "$(m)"); \
	fi
	@touch $@

# Restarts a server when a Python file changes; NO_RELOAD=1 runs it once.
CODE := $(wildcard packages/*/src services/*/src)
run_dev = $(if $(NO_RELOAD),$(BIN)/python -m $(1),$(BIN)/watchfiles --filter python --sigint-timeout 20 "$(BIN)/python -m $(1)" $(CODE))

webapp-localhost-install: .venv/.webapp ## install the webapp alone, without torch

webapp-localhost-dev: webapp-localhost-install ## run the webapp alone, restarted when code changes (NO_RELOAD=1: no restart)
	@$(call run_dev,memicos_webapp)

inference-list-configs: inference-localhost-install ## list the models that inference has a config for (.env.inference.<model>.<set>)
	@$(BIN)/python -m memicos_inference --list-configs

inference-localhost-install: .venv/.inference ## install inference alone, with torch

inference-localhost-dev: inference-localhost-install ## run inference alone, restarted when code changes (MODEL_SOURCESET=gpt2-small.res-jb; NO_RELOAD=1: no restart)
	@test -n "$(MODEL_SOURCESET)" || { echo "name a config: make inference-localhost-dev MODEL_SOURCESET=…, one of"; $(MAKE) -s inference-list-configs; exit 1; }
	@test -f ".env.inference.$(MODEL_SOURCESET)" || exec $(BIN)/python -m memicos_inference --env-file ".env.inference.$(MODEL_SOURCESET)"
	@$(call run_dev,memicos_inference --env-file .env.inference.$(MODEL_SOURCESET))

inference-add-sae: setup ## check your own SAE and add it to an env file (SPEC=path:/data/mine MODEL_SOURCESET=…, docs/own-sae.md)
	@test -n "$(SPEC)" -a -n "$(MODEL_SOURCESET)$(MODEL)" || { echo "name the SAE and the model: make inference-add-sae SPEC=path:/data/mine MODEL_SOURCESET=… (or MODEL=<hub id or folder> for a new env file; FORCE=1: ignore metrics that do not match). MODEL_SOURCESET is one of"; $(MAKE) -s inference-list-configs; exit 1; }
	@$(BIN)/memicos sae add "$(SPEC)" $(if $(MODEL_SOURCESET),--env-file ".env.inference.$(MODEL_SOURCESET)",--model "$(MODEL)") $(if $(FORCE),--force)

selftest: setup ## compare a model and its sources with reference values (MODEL_SOURCESET=gpt2-small.res-jb)
	@test -n "$(MODEL_SOURCESET)" || { echo "name a config: make selftest MODEL_SOURCESET=…, one of"; $(MAKE) -s inference-list-configs; exit 1; }
	@$(BIN)/memicos selftest --env-file .env.inference.$(MODEL_SOURCESET)

autointerp-localhost-install: .venv/.autointerp ## install autointerp alone, without torch

autointerp-localhost-dev: autointerp-localhost-install ## run autointerp alone, restarted when code changes (ENV_FILE=… for its settings; NO_RELOAD=1: no restart)
	@$(call run_dev,memicos_autointerp $(if $(ENV_FILE),--env-file $(ENV_FILE)))

doc-webapp-localhost: ## show the interactive API page of the running webapp
	@PYTHONPATH=packages/cli/src $(PYTHON) -m memicos_cli.api_pages webapp

doc-inference-localhost: ## show the interactive API page of inference
	@PYTHONPATH=packages/cli/src $(PYTHON) -m memicos_cli.api_pages inference

doc-autointerp-localhost: ## show the interactive API page of autointerp
	@PYTHONPATH=packages/cli/src $(PYTHON) -m memicos_cli.api_pages autointerp

##@ Servers in docker

init-env: ## create deploy/docker/.env with random secrets; an existing file is checked, and gets only secrets that it lacks
	@PYTHONPATH=packages/cli/src $(PYTHON) -m memicos_cli.stack_env write

# Docker. The stacks are in deploy/docker, docs/deploy.md describes them. STACK checks what they need before they start.
STACK = @$(PYTHON) deploy/docker/stack.py

webapp-demo-build: init-env ## build the demo's images
	$(STACK) build demo

webapp-demo-run: init-env ## run the whole demo in the background
	$(STACK) up demo

webapp-demo-down: ## stop the demo; its data is kept
	$(STACK) down demo

webapp-demo-logs: ## follow the demo's logs
	$(STACK) logs demo

webapp-localhost-build: init-env ## build webapp and autointerp
	$(STACK) build webapp

webapp-localhost-run: init-env ## run PostgreSQL, webapp and autointerp with an empty database
	$(STACK) up webapp

webapp-localhost-down: ## stop PostgreSQL, webapp, autointerp and inference in docker; data is kept
	$(STACK) down webapp

webapp-localhost-logs: ## follow the logs of webapp and autointerp in docker
	$(STACK) logs webapp

inference-localhost-build: init-env ## build inference for CPUs (MODEL_SOURCESET=…)
	$(STACK) build inference

inference-localhost-run: init-env ## run inference on a model (MODEL_SOURCESET=gpt2-small.res-jb), on port 5002
	$(STACK) up inference

inference-localhost-build-gpu: init-env ## build inference for CUDA (MODEL_SOURCESET=…)
	$(STACK) build inference-gpu

inference-localhost-run-gpu: init-env ## run inference on an NVIDIA GPU (MODEL_SOURCESET=…)
	$(STACK) up inference-gpu

autointerp-localhost-build: init-env ## build autointerp
	$(STACK) build autointerp

autointerp-localhost-run: init-env ## run autointerp alone, on port 5003
	$(STACK) up autointerp

##@ The database: DATABASE_URL, or else the embedded one

db-migrate: setup ## migrate the database to the newest revision (the webapp does this when it starts)
	@$(BIN)/memicos db migrate

db-reset: setup ## delete everything in the database (YES=1: no confirmation)
	@$(BIN)/memicos db reset $(if $(YES),--yes)

db-backup: setup ## write the whole database to a file (FILE=backup.dump)
	@test -n "$(FILE)" || { echo "name the file to write: make db-backup FILE=backup.dump"; exit 1; }
	@$(BIN)/memicos db backup "$(FILE)"

db-restore: setup ## restore a backup into an empty database (FILE=backup.dump)
	@test -n "$(FILE)" || { echo "name the file to restore: make db-restore FILE=backup.dump"; exit 1; }
	@$(BIN)/memicos db restore "$(FILE)"

##@ Contracts

openapi: setup ## write schemas/openapi/*.yaml from the services (ONLY=inference for one)
	$(BIN)/python scripts/contracts.py openapi $(ONLY)

clients: setup ## write packages/clients from schemas/openapi, TypeScript where Node is installed (ONLY=inference for one)
	$(BIN)/python scripts/contracts.py clients $(ONLY)

configuration: setup ## write docs/configuration.md from the settings classes
	$(BIN)/python scripts/configuration.py write

saelens-directory: setup ## write docs/saelens-directory, the table of published SAEs, from the installed SAELens
	$(BIN)/python scripts/saelens_directory.py write

contracts: setup ## fail if OpenAPI documents or clients differ from what the services generate
	$(BIN)/python scripts/contracts.py check $(ONLY)

##@ Tests and checks

# Two processes for what computes, three for what also waits for servers. Of tests/, one process runs a whole folder
# (tests/conftest.py), as its tests use the same servers.
PARALLEL := -n 2 --dist worksteal

test: test-light ## run all tests but the slow ones (browser tests need Chromium); PYTEST_ARGS=… is passed to pytest
	$(BIN)/pytest $(PARALLEL) $(PYTEST_ARGS) -m 'not slow' --ignore packages/service_kit --ignore packages/autointerp --ignore packages/embeddings packages services/inference
	$(BIN)/pytest -n 3 $(PYTEST_ARGS) -m 'not slow' tests

.venv-light/.ok: .venv/.ok
	@test -x .venv-light/bin/python || $(UV) venv -q -p .venv/bin/python .venv-light
	$(UV) pip install -q -p .venv-light $(LOCKED) $(LIGHT_TOOLS) $(foreach m,$(LIGHT),-e "$(m)")
	@touch $@

test-light: .venv-light/.ok ## test webapp and autointerp in an environment without torch
	.venv-light/bin/python scripts/without_torch.py
	.venv-light/bin/pytest -n 3 --dist worksteal $(PYTEST_ARGS) -m 'not slow' services/webapp/tests services/autointerp/tests \
		packages/service_kit/tests packages/autointerp/tests packages/embeddings/tests

test-models: setup ## compare every supported class of language model with transformers
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PARALLEL) $(PYTEST_ARGS) -m slow packages/engine/tests/model/test_model_classes.py \
		services/inference/tests/commands/test_model_check_classes.py

# Tests of the services that are part of the suites above too
HARDENING := tests/hardening \
	$(addprefix services/webapp/tests/,accounts/test_account_page.py accounts/test_accounts.py accounts/test_api_keys.py \
	database/test_connection_errors.py database/test_database_outage.py database/test_embedded_postgres.py \
	database/test_embedded_locks.py security) \
	$(addprefix services/autointerp/tests/test_,keys.py faults.py requests.py) \
	$(addprefix services/inference/tests/,http/test_invalid_requests.py scheduler/test_fairness.py scheduler/test_long_texts.py) \
	$(addprefix packages/service_kit/tests/test_,stopped_readers.py application.py) \
	packages/dataset/tests/test_links.py packages/autointerp/tests/providers/test_json_answers.py

test-hardening: setup ## test what docs/security.md says: other users, other sites, visitors, broken requests
	$(BIN)/pytest $(PYTEST_ARGS) $(HARDENING)

# Two processes, as for tests/ above. What is fast of test-hardening is in `make test`.
test-slow: setup .venv/.ray test-models ## run the slow tests: model classes, security, installations, every command of the documents, a short `make fuzz`
	$(BIN)/pytest -n 2 $(PYTEST_ARGS) -m slow $(addprefix --ignore tests/,chaos buckets stack hub_network ray_cluster) tests \
		packages/dataset packages/pipeline services/webapp services/inference/tests/loading/test_hub_downloads.py
	FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),100) $(BIN)/pytest $(PYTEST_ARGS) services/inference/tests/contract/test_contract_fuzz.py

test-chaos: setup ## kill imports, memicos generate and memicos upload with SIGKILL at random moments, 90 times
	$(BIN)/pytest $(PYTEST_ARGS) tests/chaos

test-buckets: setup ## publish to and import from a local S3 server, also 2,500 objects; access that GCS refuses; not in `make test-slow`
	$(BIN)/pytest $(PYTEST_ARGS) tests/buckets

test-ray: .venv/.ray ## run `memicos generate --executor ray` with 1, 2 and 4 workers, one killed, and on a cluster, and replicas of `memicos explain`; `make test-slow` has a part
	$(BIN)/pytest $(PYTEST_ARGS) packages/pipeline/tests/test_ray.py packages/pipeline/tests/replicas tests/ray_cluster

test-hub: setup ## compare inference with known values of gpt2-small, fill docs/saelens-directory; needs the hub or its cache (HF_HOME); not in `make test`
	@status=0; $(BIN)/pytest $(PYTEST_ARGS) tests/hub_network || status=$$?; \
		$(BIN)/python scripts/saelens_directory.py hub || status=$$?; exit $$status

fuzz: setup ## send random requests to inference for a long time (FUZZ_EXAMPLES=… requests for each operation and kind)
	FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),500) $(BIN)/pytest services/inference/tests/contract/test_contract_fuzz.py

soak: setup ## load-test inference with many clients, some of which disconnect; fail if it leaks (SMALL=…, DEMO=… requests)
	$(BIN)/python scripts/soak.py --small $(or $(SMALL),10000) --demo $(or $(DEMO),500)

check: setup contracts migrations visibility ## lint, formatting, types, import rules, contracts, migrations, visibility, settings, notices
	$(BIN)/python scripts/configuration.py check
	$(BIN)/python scripts/third_party_notices.py check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --threads 2
	$(BIN)/lint-imports

migrations: setup ## fail if the table models differ from the migrated database
	$(BIN)/python -m memicos_webapp.database.check

visibility: setup ## fail if code reads stored data without catalog/visibility.py
	$(BIN)/python scripts/check_visibility.py

format: setup ## sort imports and format the code
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

test-stack: setup ## run the stacks on a real docker engine: start, use, kill, stop; not in `make test`
	$(BIN)/pytest $(PYTEST_ARGS) -s tests/stack

audit: setup ## fail if a locked package has a known vulnerability; says so where the data cannot be reached
	$(BIN)/python scripts/audit.py

##@ Releases

release: ## set one version everywhere, date the CHANGELOG entry, commit and tag (VERSION=1.2.0)
	@test -n "$(VERSION)" || { echo "name the version: make release VERSION=1.2.0"; exit 1; }
	@$(PYTHON) scripts/release.py "$(VERSION)"

notices: setup ## write THIRD_PARTY_NOTICES.md from the metadata of the locked packages
	$(BIN)/python scripts/third_party_notices.py

lock: ## resolve requirements.in into requirements.lock, with hashes (UPGRADE=--upgrade for newer versions)
	$(BIN)/python scripts/lock.py $(UPGRADE)

# make run    everything: environment, both tasks, the report
# make test   environment and tests
.DEFAULT_GOAL := help
SHELL := /bin/bash
export KEDRO_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1
export TOKENIZERS_PARALLELISM := false
KEDRO := .venv/bin/kedro
PARAMS ?=
comma := ,
SEEDS ?= 0 1 2
TRAINING_SEEDS ?= 0 1 2
REGIME_SEEDS ?= 0 1 2 3 5

.PHONY: help setup run study regimes search sweeps transfer replication findings picture site docs test test-processors test-slow faults coverage audit lint clean-data

help:           ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

setup:          ## .venv with pinned dependencies
	@scripts/setup.sh

run: setup      ## the whole paper, both tasks, mini family; ends with the path of the report
	@scripts/run.sh $(PARAMS)

study: setup    ## three families x three training seeds, both tasks, and the paper's claims judged over them
	@scripts/study.sh "$(SEEDS)" "$(TRAINING_SEEDS)" $(PARAMS)

regimes: setup  ## does aligning what heads do win: arms on 16 to 256 prompts, five families x three draws, both tasks
	@scripts/regimes.sh "$(REGIME_SEEDS)" "$(TRAINING_SEEDS)" $(PARAMS)

search: setup   ## the declared search of hyperparameters, on validation prompts of one family
	@scripts/search.sh search $(PARAMS)

sweeps: setup   ## which settings matter: one changed at a time, on validation prompts of one family
	@scripts/search.sh sweeps $(PARAMS)

transfer: setup ## was a mechanism transferred: circuits discovered again in trained students
	@for seed in $(SEEDS); do scripts/search.sh transfer "seed=$$seed$(if $(PARAMS),$(comma)$(PARAMS))" || exit 1; done

replication: setup  ## the tables of docs/replication.md from the stored results of the study
	@$(KEDRO) run --pipelines study
	@mkdir -p docs/replication/mini
	@cp data/08_reporting/mini/study/*.csv data/08_reporting/mini/study/*.parquet docs/replication/mini/
	@.venv/bin/python -m circuit_distillation.study.document data/08_reporting/mini/study/replication.md docs/replication.md
	@echo "now read docs/replication.md: tests/study/test_published.py names figures of its text that no table has"

findings: setup ## the tables of docs/findings.md from the stored runs of regimes
	@$(KEDRO) run --pipelines regime_tables
	@mkdir -p docs/regimes/mini
	@cp data/08_reporting/mini/regimes/paper/{accuracies,claims,recall,corners}.csv docs/regimes/mini/
	@cp data/08_reporting/mini/regimes/paper/corners.svg docs/images/
	@.venv/bin/python -m circuit_distillation.study.document data/08_reporting/mini/regimes/paper/regimes.md docs/findings.md

picture: setup  ## docs/images/claims.svg, the picture of the README, from the claims of docs/replication
	@mkdir -p docs/images
	@.venv/bin/python -m circuit_distillation.reporting.gains docs/replication/mini/claims.csv docs/images/claims.svg

site: setup     ## what Kedro-Viz shows, as a static site in build/
	@.venv/bin/python scripts/viz_site.py

docs:           ## the documentation as a site in build/docs, links checked; with the page of a run, if there is one
	@scripts/setup.sh docs
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet
	@echo "python -m http.server --directory build/docs --bind 127.0.0.1 4142"

test:           ## environment and tests (at most 10 minutes on 2 cores)
	@scripts/setup.sh test
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile -m "not slow"

test-processors: ## the tests with the instructions of other processors (three times as long)
	@scripts/setup.sh test
	ATEN_CPU_CAPABILITY=default .venv/bin/python -m pytest -q -m "not slow"
	MKL_CBWR=AVX2 .venv/bin/python -m pytest -q -m "not slow"
	MKL_CBWR=COMPATIBLE .venv/bin/python -m pytest -q -m "not slow"

test-slow:      ## the tests that take minutes each, those of a Ray cluster among them
	@scripts/setup.sh test,cluster
	@.venv/bin/python -m pytest -m slow

faults:         ## kill pipelines at random moments, compare the results with those of undisturbed runs
	@scripts/setup.sh
	@.venv/bin/python scripts/faults.py

coverage:       ## lines of the library that the quick tests run; every line of statistics, mapping, similarity
	@scripts/setup.sh test
	@.venv/bin/python -m pip install --quiet --constraint requirements.lock coverage
	@.venv/bin/python -m coverage run --source=circuit_distillation -m pytest -q -m "not slow"
	@.venv/bin/python -m coverage report --skip-covered --fail-under=90
	@.venv/bin/python -m coverage report --fail-under=100 --include='*/statistics/*,*/mapping/*,*/similarity/*'

audit:          ## known vulnerabilities of the pinned dependencies
	@scripts/setup.sh
	@.venv/bin/python -m pip install --quiet --constraint requirements.lock pip-audit
	@.venv/bin/python -m pip_audit --requirement requirements.lock --no-deps --disable-pip

lint:           ## ruff and mypy
	@scripts/setup.sh dev
	@.venv/bin/ruff check src tests benchmarks
	@.venv/bin/mypy

clean-data:     ## delete every artifact of every run
	@find data -type f ! -name .gitkeep -delete; find data -mindepth 2 -type d -empty -delete

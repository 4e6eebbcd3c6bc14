# The commands of the project; `make help` lists them. Every target works from a fresh clone on Debian or Ubuntu.
SHELL := /bin/bash
PY    := .venv/bin/python
PYTEST := $(PY) -m pytest
SEED ?=
PODS ?= 10000
LAB ?= small
ROOT := $(shell id -u)

PACKAGES := component_base apimachinery kubeclient serving etcd_raft apiserver scheduler controller_manager kubelet \
	kube_proxy cluster_dns skiff

.PHONY: help setup up down test check test-unit test-integration test-kubectls test-e2e fuzz hostile sim sim-long chaos bench bench-api bench-growth bench-store lab-up lab-down test-lab proto docs clean

help:                 ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: .venv/.ready   ## .venv, Python dependencies and (as root on Debian or Ubuntu) containerd, runc, nftables, CNI plugins
	@bash deploy/setup/system-packages.sh

.venv/.ready: requirements/runtime.txt requirements/dev.txt pyproject.toml
	@bash deploy/setup/python-environment.sh

up: setup             ## setup, then an all-in-one cluster on this host; kubeconfig context `skiff`
	@.venv/bin/skiff up

down:                 ## stop the cluster, keep its state
	@.venv/bin/skiff down

test: setup check test-unit sim test-integration test-e2e   ## the whole default suite
	@echo "make test: every suite passed"

check: .venv/.ready   ## format, lint, types, import contracts, sizes
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy $(PACKAGES) tests bench
	.venv/bin/lint-imports
	$(PYTEST) -q tests/tidy

test-unit: .venv/.ready          ## pure decisions and small parts, no root needed
	$(PYTEST) -q -n 2 tests/unit tests/scripts

fuzz: .venv/.ready               ## random requests to an apiserver; SEED=n replays a run, N=n says how many (10000)
	FUZZ_SEED=$(SEED) FUZZ_N=$(or $(N),10000) $(PYTEST) -q -s -o faulthandler_timeout=0 \
		tests/integration/apiserver/test_random_requests.py

hostile: .venv/.ready            ## clients that stall or never read, N of each kind (1000): how long others wait, and memory
	HOSTILE_N=$(or $(N),1000) $(PYTEST) -q -s -o faulthandler_timeout=0 \
		tests/integration/apiserver/test_hostile_clients.py

sim: .venv/.ready                ## the store in one process on virtual time; SEED=n replays one run
	SIM_SEED=$(SEED) $(PYTEST) -q -n 2 tests/sim

sim-long: .venv/.ready           ## the same over many more seeds
	SIM_SEEDS=20000 $(PYTEST) -q -n 2 -o faulthandler_timeout=0 tests/sim

test-integration: .venv/.ready   ## several services together, real sockets and processes
	$(PYTEST) -q tests/integration

test-kubectls: .venv/.ready      ## every kubectl command with every kubectl of the machine (10 minutes)
	KUBECTLS=all $(PYTEST) -q -o faulthandler_timeout=0 tests/integration/apiserver/test_kubectl.py

test-e2e: .venv/.ready           ## a whole cluster with real containers (root)
	$(PYTEST) -q -o faulthandler_timeout=280 tests/e2e

chaos: .venv/.ready              ## kill -9, full disks, partitions, against hosts the suite makes itself
	$(PYTEST) -q -s -o faulthandler_timeout=0 tests/chaos

bench: .venv/.ready              ## measurements of a whole cluster, printed as a table
	$(PY) -m bench

bench-api: .venv/.ready          ## the apiserver beside upstream's figures, and its growth (needs wrk; PODS=50000)
	$(PY) -m bench api --pods $(PODS)

bench-growth: .venv/.ready       ## the apiserver with 1,000, 10,000 and PODS pods: lists, memory, pauses, start
	$(PY) -m bench growth --pods $(PODS)

bench-store: .venv/.ready        ## our store beside Debian's etcd, 1 and 3 members, ratios and budgets (5 minutes)
	$(PY) -m bench store --keys 200000

lab-up: setup         ## the docker-compose lab (LAB=small)
	@bash deploy/compose/lab.sh up $(LAB)

lab-down:             ## stop the lab and remove its containers
	@bash deploy/compose/lab.sh down $(LAB)

test-lab: setup       ## the lab as a test: image, three containers, a lost worker (docker engine, 2 to 8 minutes)
	SKIFF_TEST_LAB=1 $(PYTEST) -q -s -o faulthandler_timeout=0 tests/e2e/test_lab.py

proto: .venv/.ready   ## regenerate skiff_pb from proto/
	$(PY) proto/generate.py

clean:                ## remove build products, keep the environment
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

# Two commands on a fresh machine: `make demo` and `make test`. Each does all of its own set-up.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help demo test test-cluster check bench chaos deploy-test screenshots manifests deb deb-test setup clean

help:  ## lists these targets
	@awk -F ':.*## *' '/^[a-z-]+:.*##/ {printf "  make %-12s %s\n", $$1, $$2}' Makefile

demo: setup  ## the whole system on this machine; more by ARGS, such as ARGS="--for 60s --port 8499"
	@$(BIN)/linkweather demo $(ARGS)

test:  ## all checks, then all tests, against real brokers, servers and kernels; logic at 100 % of its branches
	@bash setup.sh test
	@$(MAKE) --no-print-directory check
	$(BIN)/pytest $(or $(ARGS),-n 3 --no-loadscope-reorder --reruns 1 --max-suite-reruns 5 --rerun-show-tracebacks --cov --cov-report=term)

check:  ## ruff, mypy and the import rules
	@bash setup.sh check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-cluster:  ## several collectors with a real Kafka, each part killed in turn; it installs Java, Maven and Kafka itself
	@bash setup.sh test
	@bash tests/cluster/kafka.sh
	@$(MAKE) --no-print-directory manifests
	$(BIN)/python -m tests.cluster $(ARGS)

manifests:  ## holds the Compose files and the manifests for Kubernetes to their schemas
	@bash setup.sh test
	@$(BIN)/python -m pip install -q --disable-pip-version-check check-jsonschema==0.39.0 kubernetes-validate==1.37.0
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec config/*/compose.yaml
	$(BIN)/kubernetes-validate --strict config/*/kubernetes.yaml

bench:  ## the two short benches: the demo against its lab, and what an idle probe costs
	@bash setup.sh test
	$(BIN)/python -m tests.bench.demo
	$(BIN)/python -m tests.bench.idle_probe --for 30

chaos:  ## breaks the whole system on purpose: 100 faults from each of three seeds, then every case; ARGS="--help" lists
	@bash setup.sh test
	$(BIN)/python -m tests.chaos $(ARGS)

deploy-test:  ## docs/deploying.md on freshly booted Debian 12 and 13 machines (root, systemd-nspawn, debootstrap)
	@bash setup.sh test
	$(BIN)/python -m tests.deploy $(ARGS)

screenshots:  ## makes the pictures of docs/pictures with Debian's chromium
	@bash setup.sh test
	$(BIN)/python -m tests.page.screenshots $(ARGS)

deb:  ## dist/linkweather_*.deb for the Debian release that this runs on, with all that it needs
	@bash packaging/deb/build.sh

deb-test:  ## builds, installs, upgrades and purges it in Debian 12 and 13, as root; ROOTS="/roots/trixie" names roots
	@bash tests/packaging/deb_test.sh

setup:  ## leaves the command at .venv/bin/linkweather
	@bash setup.sh run

clean:  ## removes what setup, tests and demo made here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage demo-data

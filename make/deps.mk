# SPDX-License-Identifier: GPL-2.0-or-later
# What has to be there first. tools/deps says nothing and takes no time when it is.

.PHONY: deps deps-build deps-demo deps-test deps-bench

deps: ## install everything that building, demo and tests need
	@tools/deps build demo test

deps-build: ## install what building needs
	@tools/deps build

deps-demo: ## install what `make demo` needs, and unpack a guest kernel
	@tools/deps demo

deps-test: ## install what `make check` needs
	@tools/deps test

deps-bench: ## install what `make bench` needs, and build a Debian guest image
	@tools/deps bench
	@$(PYTHON) tools/lab/debian_image.py

# SPDX-License-Identifier: GPL-2.0-or-later
# What has to be there first. tools/deps says nothing and takes no time when it is.

.PHONY: deps deps-build deps-demo deps-test deps-bench

deps: deps-test ## install everything that building, demo and tests need

deps-build: ## install what building needs
	@tools/deps build

deps-demo: ## install what `make demo` needs, and unpack a guest kernel
	@tools/deps demo

deps-test: ## install what `make check` needs, and build a Debian host's image
	@tools/deps test
	@$(PYTHON) tools/lab/debian_image.py host >/dev/null || \
		echo 'without the image of a Debian host the tests on one are skipped'

deps-bench: ## install what `make bench` needs, and build a Debian guest image
	@tools/deps bench
	@$(PYTHON) tools/lab/debian_image.py bench >/dev/null

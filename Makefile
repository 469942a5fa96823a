# SPDX-License-Identifier: Apache-2.0
# A thin front over Meson and Ninja.  `make demo` and `make test` do all their own set-up.
BUILD ?= build
CC ?= gcc

.PHONY: all demo test check bench clean deps

all: deps
	@[ -f $(BUILD)/build.ninja ] || CC=$(CC) meson setup $(BUILD) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log
	@ninja -C $(BUILD)

deps:
	@tools/install-deps.sh build

demo: all
	@tools/install-deps.sh demo
	@tools/demo.sh $(BUILD)

test: all
	@tools/install-deps.sh test
	@python3 tests/run.py --build $(BUILD)

check: all
	@tools/install-deps.sh check
	@tools/check.sh $(BUILD)

bench: all
	@tools/install-deps.sh bench
	@python3 bench/run.py --build $(BUILD)

clean:
	rm -rf $(BUILD)

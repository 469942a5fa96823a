# SPDX-License-Identifier: Apache-2.0
# A thin front over Meson and Ninja.  `make demo` and `make test` do all their own set-up.
BUILD ?= build
CC ?= gcc

PREFIX ?= /usr/local
DESTDIR ?=
TARGET = $(DESTDIR)$(PREFIX)

.PHONY: all demo test check bench clean deps install uninstall

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

# moat looks for its other programs in ../libexec/moat; the name it is called by chooses the isolation.
install: all
	install -d $(TARGET)/bin $(TARGET)/libexec/moat $(TARGET)/share/man/man8 $(TARGET)/share/bash-completion/completions \
	  $(TARGET)/share/zsh/site-functions $(TARGET)/share/fish/vendor_completions.d
	install $(BUILD)/moat $(TARGET)/bin/moat
	ln -sf moat $(TARGET)/bin/moat-native
	ln -sf moat $(TARGET)/bin/moat-vm
	install $(BUILD)/moat-sentry $(BUILD)/moat-gofer $(BUILD)/moat-agent $(TARGET)/libexec/moat
	$(BUILD)/moat help --man >$(TARGET)/share/man/man8/moat.8
	$(BUILD)/moat completion bash >$(TARGET)/share/bash-completion/completions/moat
	$(BUILD)/moat completion zsh >$(TARGET)/share/zsh/site-functions/_moat
	$(BUILD)/moat completion fish >$(TARGET)/share/fish/vendor_completions.d/moat.fish

# What install made, and nothing else: state of containers and /etc/moat stay.
uninstall:
	rm -f $(TARGET)/bin/moat $(TARGET)/bin/moat-native $(TARGET)/bin/moat-vm $(TARGET)/share/man/man8/moat.8 \
	  $(TARGET)/share/bash-completion/completions/moat $(TARGET)/share/zsh/site-functions/_moat \
	  $(TARGET)/share/fish/vendor_completions.d/moat.fish
	rm -rf $(TARGET)/libexec/moat

clean:
	rm -rf $(BUILD)

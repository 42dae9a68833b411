# make help lists what there is. sudo make demo shows ctr at work, sudo make test runs every test; both install the
# distribution's packages that they need.

# Looked for once, when a recipe first needs it.
GO        = $(eval GO := $$(shell hack/find-go))$(or $(GO),$(error no usable Go))
PREFIX   ?= /usr/local
VERSION  ?= $(or $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null),unknown)
COMMIT   ?= $(or $(shell git -c safe.directory='*' rev-parse HEAD 2>/dev/null),unknown)
FUZZTIME ?= 10s

# The image cache is the one folder outside of the repository that the tests keep.
export CTR_TEST_CACHE ?= /var/cache/ctr-test-images

# urfave_cli_no_docs drops a Markdown renderer whose package init costs 0.6 ms at each start. ctr_patched uses what
# hack/patches changes in libcontainer: compiled seccomp filters, and a small program as init; 18 ms at each start. The other
# patches there take 0.8 ms of package init out of each start.
tags      = seccomp,netgo,osusergo,urfave_cli_no_docs,ctr_patched
modfile   = $(eval modfile := $(shell hack/patches/modfile "$(GO)"))$(or $(modfile),$(error no patched modules))
# buildvcs: git refuses to tell root about somebody else's clone, and the build would fail for it.
goflags   = -buildvcs=false -trimpath -modfile=$(modfile) -tags $(tags)
ldflags   = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# place FILE AT copies a program there in one write(2). The page cache then holds it in large folios (ext4 and xfs, Linux 6.16),
# which take 120 of 600 page faults off a start, 0.9 of 4.5 ms, until it is read from disk again.
place     = dd if=$(1) of=$(2).new bs=64M status=none && chmod 0755 $(2).new && mv $(2).new $(2)

.DEFAULT_GOAL := build
.PHONY: build unit test test-neighbours test-vm race faults fuzz golden lint fmt check demo bench images install uninstall completion manual clean help print-goflags

build: ## build bin/ctr, one static binary
	@hack/setup build
	CGO_ENABLED=0 hack/embed keeper "$(GO)" -ldflags '-s -w' ./runtime/keep/keeper
	CGO_ENABLED=1 hack/embed init "$(GO)" $(goflags) -ldflags '-s -w -linkmode external -extldflags "-static"' ./runtime/engine/initprogram
	CGO_ENABLED=0 $(GO) build $(goflags) -ldflags '$(ldflags)' -o bin/ctr.built ./cmd/ctr
	@$(call place,bin/ctr.built,bin/ctr) && rm bin/ctr.built

unit: ## run the tests that need neither root nor images
	@hack/setup build
	$(GO) test $(goflags) -short ./...

test: ## run every test (as root)
	@[ "$$(id -u)" -eq 0 ] || { echo 'The tests make namespaces, links and mounts of their own, which takes root: sudo make test' >&2; exit 1; }
	@hack/setup build test
	@hack/neighbours/build firewalld ufw >/dev/null || echo 'make test: the tests beside the real ufw and firewalld are skipped' >&2
	@$(MAKE) --no-print-directory build images
	CTR_BIN=$(CURDIR)/bin/ctr $(GO) test $(goflags) -count=1 -timeout 15m ./...

test-neighbours: ## run the tests beside a Docker engine, ufw, firewalld and journald, which it gets but does not install (as root)
	@hack/setup build test
	@hack/neighbours/build docker.io firewalld systemd ufw >/dev/null
	@$(MAKE) --no-print-directory build images
	CTR_BIN=$(CURDIR)/bin/ctr $(GO) test $(goflags) -count=1 -run 'TestScripts/beside|TestParity' -v ./cmd/ctr

test-vm: ## run the tests in a virtual machine with the distribution's kernel (as root; PKG=./network RUN=TestDriver VERBOSE=1)
	@[ "$$(id -u)" -eq 0 ] || { echo 'The virtual machine sees the files of this one, which takes root: sudo make test-vm' >&2; exit 1; }
	@hack/setup build test vm
	@$(MAKE) --no-print-directory build images
	hack/vm/run "$(GO)" "$(goflags)" $(PKG)

race: ## run the tests under the race detector (as root)
	@hack/setup build test
	CTR_BIN=$(CURDIR)/bin/ctr $(GO) test $(goflags) -race -count=1 -timeout 15m $$($(GO) list $(goflags) ./... | grep -v /cmd/)

faults: ## kill and damage ctr at every point that the tests know (as root; minutes)
	@hack/setup build test
	@$(MAKE) --no-print-directory build images
	CTR_FAULTS=all CTR_BIN=$(CURDIR)/bin/ctr $(GO) test $(goflags) -count=1 -timeout 60m -run '^Test[BCD][0-9]' ./cmd/ctr

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@hack/fuzz "$(GO)" "$(goflags)" $(FUZZTIME)

golden: ## write the golden files anew
	$(GO) test $(goflags) -count=1 $$(grep -rl --include='*_test.go' 'Bool("update"' . | xargs -n1 dirname | sort -u) -update

lint: ## run golangci-lint, in the version of hack/tools
	@# The linter hands no -modfile on. Its second run sees what a plain build has instead of what is behind ctr_patched.
	@(echo 'use $(CURDIR)'; sed -n 's|=> \./|=> $(CURDIR)/|; /^go \|^replace /p' $(modfile)) >bin/lint.work
	GOWORK=$(CURDIR)/bin/lint.work $$($(GO) tool -modfile=hack/tools/go.mod -n golangci-lint) run --allow-parallel-runners --build-tags ctr_patched ./...
	$(GO) tool -modfile=hack/tools/go.mod golangci-lint run --allow-parallel-runners ./runtime/engine/...

fmt: ## format the source
	$(GO) tool -modfile=hack/tools/go.mod golangci-lint fmt ./...

check: ## do exactly what CI does (as root)
	.ci/run

demo: ## build ctr and show it at work (as root)
	@[ "$$(id -u)" -eq 0 ] || { echo 'ctr makes namespaces, which takes root: sudo make demo' >&2; exit 1; }
	@hack/setup build
	@$(MAKE) --no-print-directory build
	@hack/images/build busybox >/dev/null
	@hack/demo

bench: ## compare ctr with runc and the peers that are installed (as root; PEERS=1 installs them, ROW=... runs one row)
	@hack/setup build bench $(if $(PEERS),peers)
	@$(MAKE) --no-print-directory build
	@hack/images/build busybox >/dev/null
	$(GO) run $(goflags) ./hack/bench -ctr bin/ctr $(if $(ROW),-row '$(ROW)')

images: ## build the test images that are missing in the cache
	@hack/images/build busybox toolbox db >/dev/null

install: build completion manual ## install ctr, its manual pages, its shell completion and its systemd unit below PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin
	$(call place,bin/ctr,$(DESTDIR)$(PREFIX)/bin/ctr)
	install -D -m 0644 bin/completion/ctr.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ctr
	install -D -m 0644 bin/completion/ctr.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ctr
	install -D -m 0644 bin/completion/ctr.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ctr.fish
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 0644 bin/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	sed 's|@PREFIX@|$(PREFIX)|' hack/systemd/ctr-restore.service >bin/ctr-restore.service
	install -D -m 0644 bin/ctr-restore.service $(DESTDIR)$(PREFIX)/lib/systemd/system/ctr-restore.service

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/ctr $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ctr \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ctr $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ctr.fish \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/ctr-restore.service $(DESTDIR)$(PREFIX)/share/man/man1/ctr.1 \
		$(DESTDIR)$(PREFIX)/share/man/man1/ctr-*.1

completion: build ## write the shell completion to bin/completion
	mkdir -p bin/completion
	for shell in bash zsh fish; do bin/ctr completion $$shell >bin/completion/ctr.$$shell || exit 1; done

manual: build ## write the manual pages to bin/man
	rm -rf bin/man
	bin/ctr __man bin/man

clean: ## remove bin
	rm -rf bin

print-goflags:
	@echo '$(goflags)'

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  %-16s %s\n", $$1, $$2 }'

# What one does every day. Everything that must hold before a merge is .ci/run.

SEED ?= 1
SEEDS ?= 200
FUZZTIME ?= 10s
BENCH ?= .

.PHONY: all fmt vet test race sim fuzz bench golden ci

all: fmt vet test

fmt:
	gofmt -l -w .

vet:
	go vet ./...

test:
	go test ./...

race:
	go test -race -short ./...

# make sim SEED=4711 SEEDS=1 repeats one run.
sim:
	go run ./cmd/maestro sim --seeds $(SEEDS) --start $(SEED)

fuzz:
	.ci/fuzz $(FUZZTIME)

bench:
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

# Writes the golden files anew; look at the difference before you commit it.
golden:
	go test $$(grep -rl --include='*_test.go' 'flag.Bool("update"' layers stack clsv wire docs \
		| xargs -rn1 dirname | sort -u | sed 's|^|./|') -update

ci:
	.ci/run

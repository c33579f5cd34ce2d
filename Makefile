# What one does every day. Everything that must hold before a merge is .ci/run.

SEED ?= 1
SEEDS ?= 200
FUZZTIME ?= 10s
BENCH ?= .

.PHONY: all fmt vet test race sim fuzz bench baseline compare golden ci

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

# Measures anew what 'make compare' compares with: four minutes each, as root, on a
# machine that has nothing else to do.
MEASURE = bench floor stack throughput order view --members 3 --size 64,1000,8192 \
	--stack vsync,total
baseline:
	d=$$(mktemp -d) && trap 'rm -rf $$d' EXIT && go build -o $$d/maestro ./cmd/maestro && \
	$$d/maestro $(MEASURE) --json $$d/all && \
	grep -v '"detail":true' $$d/all | sed 's/,"histogram":"[^"]*"//' >bench/baseline.json

compare:
	d=$$(mktemp -d) && trap 'rm -rf $$d' EXIT && go build -o $$d/maestro ./cmd/maestro && \
	$$d/maestro $(MEASURE) --compare bench/baseline.json --threshold 0.25

# Writes the golden files anew; look at the difference before you commit it.
golden:
	go test $$(grep -rl --include='*_test.go' 'flag.Bool("update"' layers stack clsv wire docs \
		| xargs -rn1 dirname | sort -u | sed 's|^|./|') -update

ci:
	.ci/run

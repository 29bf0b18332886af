# What one wants while working on the code. .ci/run does all of it, and installs the daemons.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: check fmt vet staticcheck test real fuzz docs bench

# Before a commit: quick, needs nothing but Go. Tests of real daemons skip where these are missing.
check: fmt vet staticcheck test

fmt:
	.ci/run fmt

vet:
	go vet ./...

staticcheck:
	go run $(STATICCHECK) ./...

test:
	go test ./...

# Every test, with every daemon that .ci/packages installs. Takes root.
real:
	CONNSEC_REQUIRE=all go test -race -shuffle=on ./...

fuzz:
	.ci/run fuzz

# Generated documents. The generators of tables whose sources are elsewhere are not among them.
docs:
	go generate ./internal/catalog

bench:
	go test -run '^$$' -bench . -benchmem ./...

#!/usr/bin/env bash
# Fails if generating or formatting would change a file. The folders are compared before and after, so that it also
# works where there is no git; with git, generated files must be committed besides.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
cp -R graph resolvers schema go.mod go.sum "$before"

go tool gqlgen generate
changed=0
for name in graph resolvers schema go.mod go.sum; do
	diff -ru "$before/$name" "$name" || changed=1
done
if [ "$changed" -ne 0 ]; then
	echo "verify: generated code differs from what is here; run make generate and commit the result" >&2
	exit 1
fi

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
	uncommitted=$(git status --porcelain -- 'graph/*.generated.go' graph/model/models_gen.go)
	if [ -n "$uncommitted" ]; then
		printf '%s\n' "$uncommitted" "verify: generated code is not committed" >&2
		exit 1
	fi
fi

unformatted=$(go tool gofumpt -l .)
if [ -n "$unformatted" ]; then
	printf '%s\n' "$unformatted" "verify: these files are not formatted; run make fmt" >&2
	exit 1
fi

#!/usr/bin/env bash
# Checks for what Quimbi needs and installs what is missing, with apt-get or brew. Starts nothing. Says nothing when all is there.
#   setup.sh        Go and the binaries of Postgres
#   setup.sh demo   the same, but a DATABASE_URL stands in for the binaries
#   setup.sh ci     also make, git, the C compiler that the race detector links with, Node with npm, and Chromium where it can be had
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly go_wanted=1.26 postgres_wanted=15 purpose=${1:-}
export PATH="$PATH:/usr/local/go/bin:/usr/lib/go-$go_wanted/bin"

fail() {
	echo "setup: $*" >&2
	exit 1
}

# Asked inside the module, so that a toolchain that Go fetches by itself counts.
have_go() {
	local found
	found=$(go env GOVERSION 2>/dev/null) || return 1
	found=${found#go}
	[ "$(printf '%s\n' "$go_wanted" "${found%%[-a-z]*}" | sort -V | head -n 1)" = "$go_wanted" ]
}

# A folder counts if it holds both programs and the server is new enough.
usable() {
	[ -x "$1/postgres" ] && [ -x "$1/initdb" ] || return 1
	local version
	version=$("$1/postgres" --version 2>/dev/null) || return 1
	version=${version##*) }
	version=${version%%[!0-9]*}
	[ -n "$version" ] && [ "$version" -ge "$postgres_wanted" ]
}

have_postgres() {
	[ "$purpose" != demo ] || [ -z "${DATABASE_URL:-}" ] || return 0
	local folder program
	if [ -n "${PG_BIN:-}" ]; then
		usable "$PG_BIN"
		return
	fi
	if program=$(command -v initdb); then
		usable "$(dirname "$program")" && return
	fi
	if program=$(pg_config --bindir 2>/dev/null); then
		usable "$program" && return
	fi
	for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
		/Applications/Postgres.app/Contents/Versions/*/bin /opt/local/lib/postgresql*/bin; do
		usable "$folder" && return
	done
	return 1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "this needs root or sudo: $*"
	fi
}

apt_updated=
apt_install() {
	if [ -z "$apt_updated" ]; then
		as_root apt-get update -qq || echo "setup: the package lists could not be refreshed; trying with those at hand" >&2
		apt_updated=yes
	fi
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

apt_newest_postgres() {
	apt-cache search --names-only '^postgresql-[0-9]+$' | sed -E 's/^postgresql-([0-9]+) .*/\1/' | sort -n | tail -n 1
}

install_go() {
	echo "setup: installing Go"
	if command -v apt-get >/dev/null; then
		apt_install "golang-$go_wanted-go" 2>/dev/null || apt_install golang-go ||
			fail "apt-get could not install Go; get $go_wanted or newer from https://go.dev/dl/"
	elif command -v brew >/dev/null; then
		brew install --quiet go
	fi
	have_go || fail "Go $go_wanted or newer is needed; get it from https://go.dev/dl/"
}

install_postgres() {
	[ -z "${PG_BIN:-}" ] || fail "PG_BIN=$PG_BIN holds no Postgres $postgres_wanted or newer; correct it or leave it out"
	echo "setup: installing Postgres"
	if command -v apt-get >/dev/null; then
		apt_install postgresql-common
		# Debian's package would make and start a server of its own; only the binaries are wanted.
		local settings=/etc/postgresql-common/createcluster.d
		as_root mkdir -p "$settings"
		echo "create_main_cluster = false" | as_root tee "$settings/quimbi.conf" >/dev/null
		local major
		major=$(apt_newest_postgres)
		[ -n "$major" ] || fail "apt-get knows no Postgres server; see https://www.postgresql.org/download/"
		apt_install "postgresql-$major"
	elif command -v brew >/dev/null; then
		brew install --quiet postgresql@18
	fi
	have_postgres ||
		fail "the binaries of Postgres $postgres_wanted or newer are needed (see https://www.postgresql.org/download/), or a DATABASE_URL"
}

install_ci_tools() {
	local missing=()
	command -v make >/dev/null || missing+=(make)
	command -v git >/dev/null || missing+=(git)
	command -v "${CC:-gcc}" >/dev/null || missing+=(gcc libc6-dev)
	[ ${#missing[@]} -gt 0 ] || return 0
	echo "setup: installing ${missing[*]}"
	command -v apt-get >/dev/null || fail "please install: ${missing[*]}"
	apt_install ca-certificates "${missing[@]}"
}

# An old Node will do: web/contract brings its own then.
install_node() {
	command -v npm >/dev/null && command -v node >/dev/null && return
	echo "setup: installing Node"
	command -v apt-get >/dev/null || fail "please install Node with npm"
	apt_install nodejs npm
}

install_chromium() {
	local name
	for name in chromium chromium-browser google-chrome; do
		command -v "$name" >/dev/null && return
	done
	echo "setup: installing Chromium"
	command -v apt-get >/dev/null && apt_install chromium || echo "setup: Chromium cannot be had here; the explorer is not tried in a browser"
}

have_go || install_go
have_postgres || install_postgres
if [ "$purpose" = ci ]; then
	install_ci_tools
	install_node
	install_chromium
fi

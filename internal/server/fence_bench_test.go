package server_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/server"
)

// BenchmarkFence compares the same queries by a token for all stores, whose reads are not fenced, and by one for the store, whose
// reads are.
func BenchmarkFence(b *testing.B) {
	a := newAPIWith(b, func(c *server.Config) { c.Quota = server.Quota{Rate: -1, Operations: 100} }, asItIs)
	fill(b, a.db)
	callers := []struct {
		name string
		api  *api
	}{{"all stores", a.as(b, "", auth.Reader)}, {"one store", a.as(b, "shop", auth.Reader)}}
	for _, query := range []struct{ name, text string }{
		{"timeline", `{ customer(by: {key: {storeId: "shop", customerId: "c020"}}) { timeline { dates overallDriftScores axes { dominantPaths } } } }`},
		{"customers", `{ customers(filter: {storeId: "shop"}, first: 50) { nodes { customerId latestSnapshot { date dominantPaths } } } }`},
		{"store", `{ store(key: "shop") { name } }`},
	} {
		body, err := json.Marshal(map[string]string{"query": query.text})
		if err != nil {
			b.Fatal(err)
		}
		for _, caller := range callers {
			b.Run(query.name+"/"+caller.name, func(b *testing.B) {
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						request, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, caller.api.url+"/graphql", bytes.NewReader(body))
						request.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + caller.api.token}}
						response, err := http.DefaultClient.Do(request)
						if err != nil {
							b.Error(err)
							return
						}
						text, _ := io.ReadAll(response.Body)
						response.Body.Close()
						if response.StatusCode != http.StatusOK || bytes.Contains(text, []byte(`"errors"`)) {
							b.Errorf("status %d: %s", response.StatusCode, text)
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			})
		}
	}
}

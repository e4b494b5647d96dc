// Command go prints the drift feed of a store, page by page: a typed client made by genqlient.
//
//	go generate ./... && go run . http://127.0.0.1:8080/graphql demo
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/Khan/genqlient/graphql"
)

//go:generate go tool genqlient

const pageSize = 100

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go run . URL STORE")
		os.Exit(2)
	}
	if err := feed(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// feed prints every event. A page's endCursor leads to the next one.
func feed(ctx context.Context, url, store string) error {
	client := graphql.NewClient(url, withToken{os.Getenv("QUIMBI_TOKEN")})
	after := ""
	for {
		got, err := DriftFeed(ctx, client, store, pageSize, after)
		if err != nil {
			return err
		}
		for _, e := range got.DriftEvents.Nodes {
			fmt.Printf("%s  %-16s  %-20s  %s -> %s (%.2f, %s)\n", e.ToDate, e.Customer.CustomerId, e.Axis.Name, e.FromSegment.Name, e.ToSegment.Name, e.Score, e.Severity)
		}
		if !got.DriftEvents.PageInfo.HasNextPage {
			return nil
		}
		after = got.DriftEvents.PageInfo.EndCursor
	}
}

// withToken shows a token, where there is one.
type withToken struct{ token string }

// Do is of graphql.Doer.
func (w withToken) Do(r *http.Request) (*http.Response, error) {
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	return http.DefaultClient.Do(r)
}

package ingest

import (
	"slices"
	"strings"
)

// What shop systems call an order that was never a purchase. An unknown word counts as a purchase: setting orders aside for a
// word nobody foresaw would lose them.
var (
	notPurchases     = []string{"failed", "trash", "draft", "checkout-draft", "expired"}
	notShopPurchases = []string{"expired"}
	notWooPurchases  = []string{"failed", "trash", "draft", "checkout-draft", "auto-draft", "pending"}
)

// statuses decides which orders count. With a list of the store's own, only those; else all but the format's exceptions.
// Voided and cancelled orders count only if the store's list names them.
type statuses struct {
	counted map[string]bool // nil: no list
	not     map[string]bool
}

func newStatuses(counted, not []string) statuses {
	s := statuses{not: map[string]bool{}}
	for _, name := range not {
		s.not[name] = true
	}
	if len(counted) > 0 {
		s.counted = map[string]bool{}
		for _, name := range counted {
			s.counted[statusName(name)] = true
		}
	}
	return s
}

// Statuses gives words for order states in the form in which they are compared, each once.
func Statuses(words []string) []string {
	names := make([]string, 0, len(words))
	for _, word := range words {
		if name := statusName(word); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// statusName makes the words of different systems and versions equal.
func statusName(s string) string {
	s = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(s)), " ", "_")
	s = strings.TrimPrefix(s, "wc-")
	if s == "canceled" {
		return "cancelled"
	}
	return s
}

// check tells why an order of this state does not count; nil if it does. An empty state counts.
func (s *statuses) check(text []byte) *fault {
	if len(text) == 0 {
		return nil
	}
	name := statusName(string(text))
	switch {
	case s.counted[name]:
		return nil
	case name == "voided":
		return &fault{ReasonVoided, "the order was voided"}
	case name == "cancelled":
		return &fault{ReasonCancelled, "the order was cancelled"}
	case s.counted != nil || s.not[name]:
		return &fault{ReasonStatusNotCounted, "orders with the status " + quote(text) + " do not count"}
	}
	return nil
}

package model

import "time"

// AuditEntry is one mutation that was asked for.
type AuditEntry struct {
	At       time.Time
	Actor    string
	Role     Role
	Mutation string
	StoreID  *string
	Outcome  AuditOutcome
	Codes    []string
	RunID    string  // empty: none
	Subject  *string // a customer's global identifier
}

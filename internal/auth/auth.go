// Package auth says who a caller is and what it may see and do: by access tokens, by an OpenID Connect provider's tokens,
// or, while neither is set up, by being on the same machine.
package auth

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Role is what a caller may do; each includes those before it. The zero value may nothing.
type Role int

// The roles.
const (
	NoRole   Role = iota
	Reader        // reads
	Operator      // also imports orders, starts and cancels runs, takes snapshots
	Admin         // also changes settings, removes snapshots, exports and erases customers, reads the audit log
)

var roleNames = [...]string{NoRole: "", Reader: "READER", Operator: "OPERATOR", Admin: "ADMIN"}

// String gives the name by which the API knows the role.
func (r Role) String() string { return roleNames[r] }

// ParseRole reads a role's name in any case. Fault: INVALID.
func ParseRole(text string) (Role, error) {
	for r := Reader; r <= Admin; r++ {
		if strings.EqualFold(text, r.String()) {
			return r, nil
		}
	}
	return NoRole, engine.Errorf(engine.CodeInvalid, "a role is reader, operator or admin")
}

// Identity is a caller. The zero value is nobody, who may only learn whether the service works.
type Identity struct {
	// Key tells callers apart, for limits.
	Key string
	// Actor names the caller in the audit log: a token's name and id, a person's identifier, or "local".
	Actor string
	Role  Role
	// Expires is when the caller has to show itself anew; zero: never.
	Expires time.Time
	all     bool
	stores  []int32 // sorted; none where all is set
}

// local is whoever uses the same machine while no access is set up.
var local = &Identity{Key: "local", Actor: "local", Role: Admin, all: true}

var nobody = &Identity{}

// IsNobody tells whether it is not known who calls.
func (i *Identity) IsNobody() bool { return i.Role == NoRole }

// IsLocal tells whether it is whoever uses the same machine, while no access is set up.
func (i *Identity) IsLocal() bool { return i == local }

// AllStores tells whether the caller sees every store, and what goes over all of them.
func (i *Identity) AllStores() bool { return i.all }

// Stores gives the numbers of the stores that the caller sees, where it does not see all.
func (i *Identity) Stores() []int32 { return i.stores }

// Sees tells whether the caller sees a store. What goes over all stores, store 0, is for those who see all.
func (i *Identity) Sees(store int32) bool {
	if i.all {
		return true
	}
	_, found := slices.BinarySearch(i.stores, store)
	return found
}

// May tells whether the caller has a role, or one that includes it.
func (i *Identity) May(role Role) bool { return i.Role >= role }

type identityKey struct{}

// With puts the caller into a context, and holds what is read under it to the caller's stores.
func With(ctx context.Context, i *Identity) context.Context {
	if i.all {
		ctx = postgres.WithAllStores(ctx)
	} else {
		ctx = postgres.WithStores(ctx, i.stores)
	}
	return context.WithValue(ctx, identityKey{}, i)
}

// From gives the caller of a context; nobody where there is none.
func From(ctx context.Context) *Identity {
	if i, ok := ctx.Value(identityKey{}).(*Identity); ok {
		return i
	}
	return nobody
}

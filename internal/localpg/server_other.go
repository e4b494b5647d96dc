//go:build !linux && !darwin

package localpg

import (
	"context"
	"errors"
	"runtime"
)

// Server is a private Postgres in use; there is none on this system.
type Server struct{}

// Start always fails on this system and says what to do instead.
func Start(context.Context, Options) (*Server, error) {
	return nil, errors.New("a private Postgres cannot be started on " + runtime.GOOS + ": set DATABASE_URL to a Postgres of your own")
}

// URL returns an empty string.
func (s *Server) URL() string { return "" }

// LogFile returns an empty string.
func (s *Server) LogFile() string { return "" }

// Folder returns an empty string.
func (s *Server) Folder() string { return "" }

// Close does nothing.
func (s *Server) Close(context.Context) error { return nil }

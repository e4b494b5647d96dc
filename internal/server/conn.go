package server

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// writeTime is how long one write to a client may take. Whoever reads nothing for so long is cut off: HTTP alone has no
// such limit for sockets and streams.
const writeTime = 30 * time.Second

// connections hands on those of a listener, each with a limit on its writes, and can close all that are still open: also
// those that became sockets, which the HTTP server no longer knows.
type connections struct {
	net.Listener
	writeTime time.Duration

	mu     sync.Mutex
	open   map[*connection]bool
	ending bool
}

// connection is one of them.
type connection struct {
	net.Conn
	all  *connections
	used atomic.Bool // a request came
}

// Accept is of net.Listener.
func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	one := &connection{Conn: conn, all: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*connection]bool{}
	}
	c.open[one] = true
	if c.ending {
		_ = one.Conn.Close()
	}
	return one, nil
}

// note is told of what the HTTP server's connections do.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	if one, ok := conn.(*connection); ok && state == http.StateActive {
		one.used.Store(true)
	}
}

// closeUnused cuts off those over which nothing was asked yet: browsers connect ahead of need, and the HTTP server would wait for
// them for five seconds when it ends.
func (c *connections) closeUnused() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	for one := range c.open {
		if !one.used.Load() {
			_ = one.Conn.Close()
		}
	}
}

// closeAll cuts off everyone, and counts them.
func (c *connections) closeAll() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.open {
		_ = one.Conn.Close()
	}
	return len(c.open)
}

// Write is of net.Conn. A failed one leaves a broken message behind, so the connection is closed.
func (c *connection) Write(body []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.all.writeTime)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(body)
	if err != nil {
		_ = c.Close()
	}
	return n, err
}

// Close is of net.Conn.
func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

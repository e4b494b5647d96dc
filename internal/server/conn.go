package server

import (
	"net"
	"sync"
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

	mu   sync.Mutex
	open map[*connection]bool
}

// connection is one of them.
type connection struct {
	net.Conn
	all *connections
}

// Accept is of net.Listener.
func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	one := &connection{conn, c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*connection]bool{}
	}
	c.open[one] = true
	return one, nil
}

// closeAll cuts off everyone.
func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.open {
		_ = one.Conn.Close()
	}
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

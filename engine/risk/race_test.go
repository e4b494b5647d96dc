//go:build race

package risk

// raced tells that the race detector is on.
const raced = true

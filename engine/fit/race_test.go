//go:build race

package fit

// raced tells that the race detector is on: fits of large stores take twenty times as long under it.
const raced = true

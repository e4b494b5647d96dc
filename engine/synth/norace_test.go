//go:build !race

package synth

const raced = false

// Package hierarchy divides clusters that are too broad into sub-clusters, level by level, and composes memberships
// down the tree that results.
//
// A segment is too broad if its variance, its radius or its share of the population exceeds a limit. It is divided if
// some number of sub-clusters gives children of useful size and takes away enough of its sum of squares; otherwise it
// stays a leaf, with its reason. See [Subdivide].
//
// A row's membership of a child is its membership of the parent times its conditional membership among the siblings,
// which is computed for every row, not only for the parent's own. So children sum to their parent and leaves to 1. See
// [Composer].
//
// The package knows matrices only, does no I/O and reads no clock; results depend on seeds and not on workers.
package hierarchy

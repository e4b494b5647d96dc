// Package kselect chooses how many clusters a matrix is divided into.
//
// Every number of clusters k in a range is fitted by fuzzy c-means and judged by two quantities on its dominant
// clusters: the mean silhouette (Rousseeuw 1987), which asks whether rows lie nearer to their own cluster than to the
// next, and the balance of the cluster sizes, which asks whether the division is of use. The score joins them,
//
//	score = 0.4*silhouette + 0.6*balance
//
// and [Select] takes the best score among the eligible k. What was measured of every k, and why a k was not eligible,
// is kept beside the choice.
//
// The package knows matrices only: x is row-major, n rows by d columns, already standardised. It does no I/O and
// reads no clock; results depend on the seed and not on the number of workers.
package kselect

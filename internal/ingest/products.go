package ingest

// Products gives the category of a SKU, trimmed and in lower case.
type Products map[string]string

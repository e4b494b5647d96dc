package ingest

import (
	"io"

	"github.com/quimbi/quimbi/engine"
)

// Products gives the category of a SKU, which is trimmed and in lower case.
type Products map[string]string

// The columns of a products file, by preference: Shopify's and WooCommerce's product exports, and any table with a sku.
var (
	productSKU      = []string{"sku", "Variant SKU", "product sku", "stock code"}
	productCategory = []string{"category", "Product Category", "Standard Product Type", "Categories", "Type", "Custom Product Type"}
)

// ReadProducts reads a products file: a table with a column of SKUs and one of categories. In Shopify's export a product's
// category stands on its first row only and holds for all its variants; Type is used where there is none. Of several rows
// with one SKU the last counts.
func ReadProducts(r io.Reader) (Products, error) {
	sc := newScanner(r)
	head, err := sc.peek()
	if err != nil {
		return nil, err
	}
	if err := refuseForeign(head); err != nil {
		return nil, err
	}
	h, err := readHeader(sc)
	if err != nil {
		return nil, err
	}
	sku, handle := h.column(productSKU...), h.column("Handle")
	var categories []int
	for _, name := range productCategory {
		if i := h.column(name); i >= 0 {
			categories = append(categories, i)
		}
	}
	if sku < 0 || len(categories) == 0 {
		return nil, engine.Errorf(engine.CodeInvalid, "a products file needs a column sku (or Variant SKU) and a column category (or Product Category, "+
			"Categories, Type); this one has %s", h.list())
	}
	return readProducts(sc, sku, handle, categories)
}

func readProducts(sc *scanner, sku, handle int, categories []int) (Products, error) {
	products, texts := Products{}, newInterner()
	product, category := "", ""
	for row := sc.next(); row != nil; row = sc.next() {
		own := ""
		for _, i := range categories {
			if own = texts.get(textAt(row, i)); own != "" {
				break
			}
		}
		if name := texts.get(textAt(row, handle)); name == "" || name != product {
			product, category = name, ""
		}
		if own != "" {
			category = own
		}
		key := texts.lower(textAt(row, sku))
		if key != "" && category != "" && len(key) <= maxKey && len(category) <= maxCategory {
			products[key] = category
		}
	}
	return products, sc.err
}

package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/quimbi/quimbi/engine"
)

// What a shop says of its products is kept, since webhooks and most exports of orders name an article without its category. A line
// without one gets, of these the first that there is: what the line had before under the same article, what other lines of the
// import say of the article, and what was said of it last.

const writeProducts = `-- name: WriteProducts
INSERT INTO product (store_id, sku, category) SELECT $1, sku, category FROM unnest($2::text[], $3::text[]) p(sku, category)
ON CONFLICT (store_id, sku) DO UPDATE SET category = excluded.category WHERE product.category <> excluded.category`

// Of several lines with an article the newest order counts, as in articles.
const productsOfLines = `-- name: ProductsOfLines
INSERT INTO product (store_id, sku, category)
SELECT DISTINCT ON (sku) $1::int, sku, category FROM %s WHERE sku IS NOT NULL AND category IS NOT NULL
ORDER BY sku, ordered_at DESC, category COLLATE "C" DESC
ON CONFLICT (store_id, sku) DO UPDATE SET category = excluded.category WHERE product.category <> excluded.category`

const fillCategories = `-- name: FillCategories
UPDATE %s o SET category = p.category FROM product p WHERE p.store_id = $1 AND p.sku = o.sku AND o.category IS NULL`

// WriteProducts keeps the categories of articles, by SKU, in the place of what was said of them before.
func (tx *Tx) WriteProducts(ctx context.Context, storeID int32, categories map[string]string) error {
	if len(categories) == 0 {
		return nil
	}
	skus, names := make([]string, 0, len(categories)), make([]string, 0, len(categories))
	for sku, category := range categories {
		skus, names = append(skus, sku), append(names, category)
	}
	_, err := tx.Exec(ctx, writeProducts, storeID, skus, names)
	return err
}

// maxArticles is of how many articles an import holds in memory what its lines say of them; of more the server finds it out.
const maxArticles = 1 << 16

// articles are what the lines of an import say of articles.
type articles struct {
	said    map[string]article
	more    bool // than are held here
	lacking bool // a line names an article without its category
}

// article is what the newest order says; of several with the same time the greatest text counts, to have one answer.
type article struct {
	category string
	at       int64 // microseconds since 1970
}

// see notes what a line says.
func (a *articles) see(l *ImportLine) {
	switch {
	case l.SKU == "":
		return
	case l.Category == "":
		a.lacking = true
		return
	}
	at := l.OrderedAt.UnixMicro()
	known, there := a.said[l.SKU]
	switch {
	case there && (at < known.at || at == known.at && l.Category <= known.category):
	case there || len(a.said) < maxArticles:
		if a.said == nil {
			a.said = map[string]article{}
		}
		a.said[l.SKU] = article{l.Category, at}
	default:
		a.more = true
	}
}

// write keeps what the lines say; table holds them.
func (a *articles) write(ctx context.Context, tx *Tx, store *engine.Store, table string) error {
	if a.more {
		_, err := tx.Exec(ctx, fmt.Sprintf(productsOfLines, table), store.ID)
		return err
	}
	categories := make(map[string]string, len(a.said))
	for sku, said := range a.said {
		categories[sku] = said.category
	}
	return tx.WriteProducts(ctx, store.ID, categories)
}

// complete gives a row of appendLine with its article's category, where it has none and other lines say it. The row lies in
// buffer then.
func (a *articles) complete(row, buffer []byte) (completed, kept []byte) {
	const number, time = 4 + 4, 4 + 8
	i := 4 + int(binary.BigEndian.Uint32(row)) + number + time
	length := binary.BigEndian.Uint32(row[i:])
	if i += 4; length == math.MaxUint32 {
		return row, buffer
	}
	sku := row[i : i+int(length)]
	if i += len(sku); binary.BigEndian.Uint32(row[i:]) != math.MaxUint32 {
		return row, buffer
	}
	said, there := a.said[string(sku)]
	if !there {
		return row, buffer
	}
	buffer = append(appendText(append(buffer[:0], row[:i]...), said.category), row[i+4:]...)
	return buffer, buffer
}

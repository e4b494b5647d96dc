package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph"
)

const (
	// keptTexts and textBytes bound the memory for automatic persisted queries to 32 MB; longer documents are not kept.
	keptTexts = 1000
	textBytes = 32 << 10
	// parsedDocuments and parsedBytes do so for documents that were read and found valid: in memory they take up to thirty times
	// their length, and nothing else bounds what a caller can have kept by sending ever new ones.
	parsedDocuments = 250
	parsedBytes     = 8 << 10
)

// persistedQueries takes documents by the hash of an earlier request (Apollo's automatic persisted queries). gqlgen's faults
// get codes.
type persistedQueries struct {
	extension.AutomaticPersistedQuery
}

func newPersistedQueries() persistedQueries {
	return persistedQueries{extension.AutomaticPersistedQuery{Cache: shortTexts{lru.New[string](keptTexts)}}}
}

// MutateOperationParameters puts the document in.
func (p persistedQueries) MutateOperationParameters(ctx context.Context, params *graphql.RawParams) *gqlerror.Error {
	err := p.AutomaticPersistedQuery.MutateOperationParameters(ctx, params)
	if err != nil && err.Extensions["code"] == nil {
		return refusal("BAD_USER_INPUT", "extensions.persistedQuery is no {version: 1, sha256Hash} of the document.")
	}
	if err != nil {
		return refusal("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound") // clients know the word
	}
	return nil
}

// shortTexts keeps no long ones.
type shortTexts struct{ graphql.Cache[string] }

// Add keeps a text.
func (c shortTexts) Add(ctx context.Context, key, text string) {
	if len(text) <= textBytes {
		c.Cache.Add(ctx, key, text)
	}
}

// shortDocuments keeps the short ones among read documents; their keys are their texts.
type shortDocuments struct {
	graphql.Cache[*ast.QueryDocument]
}

// Add keeps a document.
func (c shortDocuments) Add(ctx context.Context, text string, document *ast.QueryDocument) {
	if len(text) <= parsedBytes {
		c.Cache.Add(ctx, text, document)
	}
}

// TrustedDocuments are the only ones that run, by the SHA-256 of their texts in hexadecimal.
type TrustedDocuments map[string]string

// ReadTrustedDocuments reads a JSON object from SHA-256 to text, as code generators of clients write it, and looks whether
// each fits the schema. Fault: INVALID.
func ReadTrustedDocuments(body []byte) (TrustedDocuments, error) {
	var texts map[string]string
	if err := json.Unmarshal(body, &texts); err != nil || len(texts) == 0 {
		return nil, engine.Errorf(engine.CodeInvalid, "trusted documents are a JSON object from the SHA-256 of each document to its text")
	}
	schema := graph.NewExecutableSchema(graph.Config{}).Schema()
	trusted := make(TrustedDocuments, len(texts))
	for name, text := range texts {
		hash := strings.TrimPrefix(name, "sha256:")
		if hash != hashOf(text) {
			return nil, engine.Errorf(engine.CodeInvalid, "the trusted document %.80q is not filed under its SHA-256, which is %s", name, hashOf(text))
		}
		if _, errs := gqlparser.LoadQueryWithRules(schema, text, rules.NewDefaultRules()); len(errs) > 0 {
			return nil, engine.Errorf(engine.CodeInvalid, "the trusted document %s does not fit the schema: %s", hash, errs[0].Message)
		}
		trusted[hash] = text
	}
	return trusted, nil
}

func hashOf(text string) string {
	hash := sha256.Sum256([]byte(text))
	return hex.EncodeToString(hash[:])
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationParameterMutator
} = TrustedDocuments{}

// ExtensionName is for gqlgen.
func (TrustedDocuments) ExtensionName() string { return "TrustedDocuments" }

// Validate is for gqlgen.
func (TrustedDocuments) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters refuses other documents. One may be sent as its text, or by its hash as
// extensions.persistedQuery.sha256Hash.
func (d TrustedDocuments) MutateOperationParameters(_ context.Context, params *graphql.RawParams) *gqlerror.Error {
	hash := hashOf(params.Query)
	if params.Query == "" {
		given, _ := params.Extensions["persistedQuery"].(map[string]any)
		hash, _ = given["sha256Hash"].(string)
	}
	text, ok := d[hash]
	if !ok {
		return refusal("DOCUMENT_NOT_TRUSTED", "This server runs registered documents only.")
	}
	params.Query = text
	return nil
}

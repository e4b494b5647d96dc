package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// prefix begins every token, so that people and scanners for secrets recognise one.
const prefix = "quimbi_"

// secretBytes are 256 random bits: a fast hash is then as good as a slow one, since nobody can try them all.
const secretBytes = 32

// NewToken makes a token, and what is kept of it.
func NewToken() (token string, hash [32]byte) {
	var secret [secretBytes]byte
	_, _ = rand.Read(secret[:]) // never fails
	token = prefix + base64.RawURLEncoding.EncodeToString(secret[:])
	return token, hashOf(token)
}

// hashOf gives SHA-256. Tokens are looked up by it in a map, which takes a time that depends on the hash: from such times one
// could at best learn bits of the hash of a token that is not known, and they lead to no token.
func hashOf(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// isOurs tells tokens made here from those of a provider.
func isOurs(token string) bool { return strings.HasPrefix(token, prefix) }

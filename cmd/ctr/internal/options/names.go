package options

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

var name = lazy(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// maxName bounds a name, in bytes: it becomes the name of a file.
const maxName = 200

// ContainerName checks a --name. A leading slash, which Docker's API shows, is taken off.
func ContainerName(s string) (string, error) {
	if len(s) > 1 && s[0] == '/' {
		s = s[1:]
	}
	if len(s) > maxName || !name().MatchString(s) {
		return "", fmt.Errorf("invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", s)
	}
	return s, nil
}

// RandomName makes a name such as "quiet_turing". From the second try on it ends in a digit.
func RandomName(try int) string {
	s := adjectives[rand.IntN(len(adjectives))] + "_" + surnames[rand.IntN(len(surnames))]
	if try > 0 {
		s += strconv.Itoa(rand.IntN(10))
	}
	return s
}

var adjectives = [...]string{
	"able", "agile", "amber", "ample", "apt", "awake", "bold", "brave", "bright", "brisk", "calm", "candid", "careful", "cheerful",
	"civil", "clear", "clever", "cosy", "crisp", "curious", "deft", "eager", "earnest", "easy", "exact", "fair", "fearless", "fine",
	"fluent", "fond", "frank", "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "humble", "jolly", "keen",
	"kind", "lively", "logical", "loyal", "lucid", "lucky", "merry", "mild", "modest", "neat", "nimble", "noble", "open", "patient",
	"placid", "plucky", "polite", "proud", "quick", "quiet", "rapid", "ready", "robust", "sharp", "silent", "sincere", "sleek",
	"smart", "snug", "sober", "solid", "spry", "steady", "stoic", "sunny", "swift", "tidy", "upbeat", "vivid", "warm", "wise", "witty",
}

// People of computing, mathematics and the sciences.
var surnames = [...]string{
	"abel", "allen", "ampere", "babbage", "bardeen", "barton", "bell", "bohr", "boole", "booth", "born", "bose", "boyle", "cantor",
	"cerf", "chandrasekhar", "church", "codd", "cray", "curie", "darwin", "davies", "diffie", "dijkstra", "dirac", "easley",
	"einstein", "engelbart", "euclid", "euler", "faraday", "fermat", "fermi", "feynman", "floyd", "franklin", "galileo", "galois",
	"gauss", "germain", "goldberg", "hamilton", "hellman", "heisenberg", "hilbert", "hoare", "hodgkin", "hopper", "hypatia",
	"jennings", "johnson", "kahn", "kay", "kepler", "knuth", "kovalevskaya", "lamarr", "lamport", "leibniz", "liskov", "lovelace",
	"maxwell", "mccarthy", "mcclintock", "meitner", "mendel", "metcalfe", "milner", "mirzakhani", "moore", "naur", "newton",
	"noether", "pascal", "pasteur", "perlman", "planck", "poincare", "postel", "ramanujan", "ride", "ritchie", "rubin", "shannon",
	"somerville", "tesla", "thompson", "turing", "vaughan", "volta", "wiles", "wilkes", "wing", "wirth", "wozniak", "wu", "zuse",
}

// Package format prints listings as Docker does: tables with its columns, --format templates with its field and function
// names, JSON. All columns of all listings are in tables.go; what a field shows is a method of the row's type.
//
// It owns nothing and prints to the writer that it is given.
package format

// Package csvfile reads CSV files row by row, plain or gzipped, and survives bad rows.
//
// Concepts:
//
//   - A Row is one record of the file: its fields, its raw bytes and the line it starts on. Everything in it is
//     a view that the next call overwrites, so reading allocates nothing per row.
//   - A RowError is a row that does not parse. It carries the row's bytes, and reading goes on behind it.
//   - Any other error ends the file: the disk failed, or the gzip stream is cut.
//
// The format is RFC 4180 with a header: fields may be quoted, and a quoted field may hold commas, quotes
// (doubled) and line ends. Blank lines are skipped. A quote that is never closed spoils its own line only: reading goes on
// with the next one.
//
// A Reader belongs to one goroutine. The package deliberately gives columns no types: that is the app's business.
package csvfile

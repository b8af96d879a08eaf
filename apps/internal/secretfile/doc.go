// Package secretfile keeps keys and tokens in small files that nobody but their owner can read.
package secretfile

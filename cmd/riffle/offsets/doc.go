// Package offsets parses the words that say where in a topic to start and where to stop: one grammar for every
// command that takes a position.
//
//	start            the first record the partition still holds
//	end              behind the last record: only what is written from now on
//	start+N  end-N   N records after the start, N records before the end
//	+N  -N           relative; consume counts +N from the start and -N from the end
//	N                the offset N
//	A:B              from A up to B; either may be missing: N: is N, :B is start:B
//	@TIME            the first record at or after TIME
//	@T1:T2           from T1 up to T2; @T1:end, @:T2
//
// TIME is seconds (9 or 10 digits), milliseconds (13) or nanoseconds (19) since 1970, a date 2006-01-02, an
// RFC 3339 time, now, or -1h30m for that long ago (units ns us ms s m h d). T2 may also be a duration, 1h or
// +1h, which counts from T1.
//
// Ranges are half-open: B is the first record that does not belong to them. The grammar is that of kcl.
//
// Everything here is pure: no broker, no clock. The caller passes now, and asks its broker for what a Position
// leaves open.
package offsets

package csvfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

var (
	// ErrQuote means a quote in an unquoted field, or text behind a closing quote.
	ErrQuote = errors.New(`stray quote: put the field in quotes and double each quote inside it`)
	// ErrUnclosedQuote means a quoted field without an end.
	ErrUnclosedQuote = errors.New("quoted field is never closed")
	// ErrFieldCount means a row with more or fewer fields than the header.
	ErrFieldCount = errors.New("wrong number of fields")
	// ErrRowTooLong means a row of more than Config.MaxRowBytes.
	ErrRowTooLong = errors.New("row too long")
)

// Config tunes a Reader. The zero value is a working configuration.
type Config struct {
	// MaxRowBytes is the longest row, line ends inside quotes included. The default is 256 KiB.
	MaxRowBytes int
}

func (c Config) withDefaults() Config {
	if c.MaxRowBytes <= 0 {
		c.MaxRowBytes = 256 << 10
	}
	return c
}

// Row is one record. All slices are views that are valid until the next call of Next.
type Row struct {
	// Line is the number of the line on which the row starts. The header is line 1.
	Line int64
	// Fields has as many elements as the header.
	Fields [][]byte
	// Raw holds the row's bytes as they stand in the file, without the line end.
	Raw []byte
}

// RowError reports a row that does not parse.
type RowError struct {
	Line int64
	// Raw holds the line's bytes without its end, at most MaxRowBytes of them. It is valid until the next call of Next.
	Raw []byte
	Err error
}

func (e *RowError) Error() string { return fmt.Sprintf("csvfile: line %d: %v", e.Line, e.Err) }
func (e *RowError) Unwrap() error { return e.Err }

// Reader reads the rows behind a header.
type Reader struct {
	src    io.Reader
	cfg    Config
	header []string

	buf     []byte // one row and what was read behind it
	r, w    int    // the unread bytes are buf[r:w]
	line    int64  // number of the line that starts at r
	readErr error  // why src ended; io.EOF if it simply did

	fields  [][]byte
	scratch []byte // unescaped fields of the current row
}

// NewReader reads the header. The header's names are trimmed of spaces and of a byte order mark.
func NewReader(src io.Reader, cfg Config) (*Reader, error) {
	cfg = cfg.withDefaults()
	r := &Reader{src: src, cfg: cfg, line: 1, buf: make([]byte, cfg.MaxRowBytes+64<<10)}
	row, err := r.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("csvfile: no header: the file is empty")
	case err != nil:
		return nil, fmt.Errorf("csvfile: no header: %w", err)
	}
	for i, name := range row.Fields {
		if i == 0 {
			name = bytes.TrimPrefix(name, []byte("\ufeff"))
		}
		r.header = append(r.header, strings.TrimSpace(string(name)))
	}
	return r, nil
}

// Header returns the columns' names in the file's order. The caller must not change it.
func (r *Reader) Header() []string { return r.header }

// Columns returns where the named columns stand. Order and further columns do not matter; a missing
// one is an error that names it.
func (r *Reader) Columns(names ...string) ([]int, error) {
	index := make([]int, len(names))
	var missing []string
	for i, name := range names {
		if index[i] = slices.Index(r.header, name); index[i] < 0 {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return nil, fmt.Errorf("csvfile: no column %s: the header has %s",
			strings.Join(missing, ", "), strings.Join(r.header, ", "))
	}
	return index, nil
}

// Next returns the next row, a *RowError for one that does not parse, or io.EOF. After a RowError
// the next call goes on behind the bad line; after any other error there is nothing more to read.
func (r *Reader) Next() (Row, error) {
	row, err := r.next()
	if err != nil {
		return Row{}, err
	}
	if len(row.Fields) != len(r.header) {
		return Row{}, &RowError{row.Line, row.Raw, fmt.Errorf("%w: %d, the header has %d", ErrFieldCount, len(row.Fields), len(r.header))}
	}
	return row, nil
}

func (r *Reader) next() (Row, error) {
	for {
		end, err := r.rowEnd()
		if err != nil {
			return Row{}, err
		}
		raw := trimReturn(r.buf[r.r : r.r+end])
		if len(raw) == 0 {
			r.consume(end)
			continue
		}
		if bytes.IndexByte(raw, '"') < 0 {
			r.splitPlain(raw)
		} else if err := r.splitQuoted(raw); err != nil {
			return Row{}, r.badLine(err)
		}
		row := Row{Line: r.line, Fields: r.fields, Raw: raw}
		r.consume(end)
		return row, nil
	}
}

// rowEnd returns how many bytes the row at r.r has, without its line end. A line end inside quotes belongs to
// the row, and a quote is open as long as the number of quotes is odd.
func (r *Reader) rowEnd() (int, error) {
	quotes, seen := 0, 0
	for {
		unseen := r.buf[r.r+seen : r.w]
		end := bytes.IndexByte(unseen, '\n')
		if end < 0 && r.fill() {
			continue
		}
		last := end < 0
		if last {
			end = len(unseen)
		}
		switch {
		case seen == 0 && end > r.cfg.MaxRowBytes:
			return 0, r.longLine()
		case last && r.readErr != nil && !errors.Is(r.readErr, io.EOF):
			// What is left may be half a row, so it is none.
			return 0, fmt.Errorf("csvfile: reading on from line %d: %w", r.line, r.readErr)
		case last && r.r == r.w:
			return 0, io.EOF
		}
		if bytes.IndexByte(unseen[:end], '"') >= 0 {
			quotes += bytes.Count(unseen[:end], []byte{'"'})
		}
		switch {
		case quotes%2 == 0 && seen+end <= r.cfg.MaxRowBytes:
			return seen + end, nil
		case last || seen+end > r.cfg.MaxRowBytes:
			return 0, r.badLine(ErrUnclosedQuote)
		}
		seen += end + 1
	}
}

// fill reads once more behind w, and may move what is unread. It reports false, and does neither, if the source
// has ended or the row at r has its full length.
func (r *Reader) fill() bool {
	if r.readErr != nil || r.w-r.r > r.cfg.MaxRowBytes {
		return false
	}
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	// A reader may return nothing without an error, but not for ever.
	for range 100 {
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		r.readErr = err
		if n > 0 || err != nil {
			return true
		}
	}
	r.readErr = io.ErrNoProgress
	return true
}

// badLine gives up the line at r.r, and only that one: what looked like the rest of the row may be good rows.
func (r *Reader) badLine(err error) error {
	end := bytes.IndexByte(r.buf[r.r:r.w], '\n')
	if end < 0 {
		end = r.w - r.r
	}
	bad := &RowError{Line: r.line, Raw: trimReturn(r.buf[r.r : r.r+end]), Err: err}
	if own := r.splitQuoted(bad.Raw); own != nil {
		bad.Err = own // the line alone tells more than the rows it would have swallowed
	}
	r.consume(end)
	return bad
}

// longLine gives up a line that does not fit the buffer and skips to its end.
func (r *Reader) longLine() error {
	bad := &RowError{
		Line: r.line,
		Raw:  bytes.Clone(r.buf[r.r : r.r+r.cfg.MaxRowBytes]),
		Err:  fmt.Errorf("%w: more than %d bytes", ErrRowTooLong, r.cfg.MaxRowBytes),
	}
	for {
		if i := bytes.IndexByte(r.buf[r.r:r.w], '\n'); i >= 0 {
			r.consume(i)
			return bad
		}
		r.r = r.w
		if !r.fill() {
			return bad
		}
	}
}

// consume moves behind the first n unread bytes and the line end that follows them.
func (r *Reader) consume(n int) {
	r.line += int64(bytes.Count(r.buf[r.r:r.r+n], []byte{'\n'}))
	r.r += n
	if r.r < r.w { // a line end: the last line may lack one
		r.r++
		r.line++
	}
}

func trimReturn(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

// splitPlain cuts a row without quotes.
func (r *Reader) splitPlain(raw []byte) {
	r.fields = r.fields[:0]
	for {
		i := bytes.IndexByte(raw, ',')
		if i < 0 {
			r.fields = append(r.fields, raw)
			return
		}
		r.fields = append(r.fields, raw[:i])
		raw = raw[i+1:]
	}
}

// splitQuoted cuts a row some of whose fields are quoted. A field without doubled quotes is a view of raw, any
// other is unescaped into scratch.
func (r *Reader) splitQuoted(raw []byte) error {
	r.fields = r.fields[:0]
	r.scratch = slices.Grow(r.scratch[:0], len(raw)) // never grows again below: fields point into it
	for {
		field, rest, err := r.cutField(raw)
		if err != nil {
			return err
		}
		r.fields = append(r.fields, field)
		if rest == nil {
			return nil
		}
		raw = rest[1:]
	}
}

// cutField returns the first field of raw and what follows it: nil, or a comma and more.
func (r *Reader) cutField(raw []byte) (field, rest []byte, err error) {
	if len(raw) == 0 || raw[0] != '"' {
		end := bytes.IndexByte(raw, ',')
		if end < 0 {
			field = raw
		} else {
			field, rest = raw[:end], raw[end:]
		}
		if bytes.IndexByte(field, '"') >= 0 {
			return nil, nil, ErrQuote
		}
		return field, rest, nil
	}
	raw = raw[1:]
	start, escaped := len(r.scratch), false
	for {
		i := bytes.IndexByte(raw, '"')
		switch {
		case i < 0:
			return nil, nil, ErrUnclosedQuote
		case i+1 < len(raw) && raw[i+1] == '"':
			r.scratch = append(r.scratch, raw[:i+1]...)
			raw, escaped = raw[i+2:], true
			continue
		case i+1 < len(raw) && raw[i+1] != ',':
			return nil, nil, ErrQuote
		}
		field = raw[:i]
		if escaped {
			r.scratch = append(r.scratch, field...)
			field = r.scratch[start:]
		}
		if i+1 < len(raw) {
			rest = raw[i+1:]
		}
		return field, rest, nil
	}
}

package stream

import "encoding/binary"

// appendHeaders appends the number of headers, and of each the lengths and bytes of key and value, as they lie in stores.
func appendHeaders(dst []byte, headers []Header) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(headers)))
	for _, h := range headers {
		dst = binary.AppendUvarint(dst, uint64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = binary.AppendUvarint(dst, uint64(len(h.Value)))
		dst = append(dst, h.Value...)
	}
	return dst
}

// parseHeaders reads headers from the front of b, and returns the rest of it. They are copied to those given, or passed
// over if these are nil; a header's null comes back empty.
func parseHeaders(b []byte, to []Header) (headers []Header, rest []byte, ok bool) {
	count, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, nil, false
	}
	b = b[n:]
	part := func() []byte {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			b = nil
			return nil
		}
		p := b[n : n+int(size)]
		b = b[n+int(size):]
		return p
	}
	for range count {
		if len(b) == 0 {
			return nil, nil, false
		}
		key, value := part(), part()
		if to != nil {
			to = append(to, Header{Key: string(key), Value: append([]byte{}, value...)})
		}
	}
	return to, b, b != nil
}

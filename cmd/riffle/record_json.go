package main

import (
	"encoding/base64"
	"encoding/json/v2"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

const encodingBase64 = "base64"

// jsonRecord is a record in JSON.
type jsonRecord struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Timestamp int64  `json:"timestamp"` // milliseconds since 1970
	jsonKey
	jsonValue
	Headers []jsonHeader `json:"headers"`
}

type jsonHeader struct {
	Key string `json:"key"`
	jsonValue
}

// jsonKey and jsonValue hold bytes as they are, if that is valid UTF-8, and otherwise in base64. JSON's null is null.
type jsonKey struct {
	Key         *string `json:"key"`
	KeyEncoding string  `json:"keyEncoding,omitzero"` // base64, or empty
}

type jsonValue struct {
	Value         *string `json:"value"`
	ValueEncoding string  `json:"valueEncoding,omitzero"` // base64, or empty
}

func toJSON(r *kgo.Record) jsonRecord {
	j := jsonRecord{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(),
		Headers: make([]jsonHeader, 0, len(r.Headers)),
	}
	j.Key, j.KeyEncoding = encodeText(r.Key)
	j.Value, j.ValueEncoding = encodeText(r.Value)
	for _, h := range r.Headers {
		header := jsonHeader{Key: strings.ToValidUTF8(h.Key, string(utf8.RuneError))}
		header.Value, header.ValueEncoding = encodeText(h.Value)
		j.Headers = append(j.Headers, header)
	}
	return j
}

func encodeText(b []byte) (text *string, encoding string) {
	if b == nil {
		return nil, ""
	}
	s := string(b)
	if !utf8.ValidString(s) {
		s, encoding = base64.StdEncoding.EncodeToString(b), encodingBase64
	}
	return &s, encoding
}

func (j *jsonRecord) record() (*kgo.Record, error) {
	r := new(kgo.Record)
	if j.Timestamp != 0 {
		r.Timestamp = time.UnixMilli(j.Timestamp)
	}
	var err error
	if r.Key, err = decodeText(j.Key, j.KeyEncoding); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if r.Value, err = decodeText(j.Value, j.ValueEncoding); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	for _, h := range j.Headers {
		value, err := decodeText(h.Value, h.ValueEncoding)
		if err != nil {
			return nil, fmt.Errorf("header %q: %w", h.Key, err)
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: value})
	}
	return r, nil
}

func decodeText(text *string, encoding string) ([]byte, error) {
	switch {
	case text == nil:
		return nil, nil
	case encoding == "":
		return []byte(*text), nil
	case strings.EqualFold(encoding, encodingBase64):
		return base64.StdEncoding.DecodeString(*text)
	}
	return nil, fmt.Errorf("unknown encoding %q, want none or %s", encoding, encodingBase64)
}

// jsonSource reads records as consume --format json writes them.
type jsonSource struct{ lines lineReader }

func (s *jsonSource) ReadRecord() (*kgo.Record, error) {
	line, err := s.lines.next()
	if err != nil {
		return nil, err
	}
	var j jsonRecord
	if err := json.Unmarshal(line, &j, json.RejectUnknownMembers(true)); err != nil {
		return nil, &badRecordError{fmt.Errorf("want an object as consume --format json writes it: %w", err)}
	}
	r, err := j.record()
	if err != nil {
		return nil, &badRecordError{err}
	}
	return r, nil
}

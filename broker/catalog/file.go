package catalog

import (
	"bytes"
	"encoding/base64"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/riffle-stream/riffle/internal/vfs"
)

// The file, version 1: one line of text, then JSON (docs/format/catalog.md).
//
//	riffle-catalog 1 crc32c=1a2b3c4d
//	{
//	  "clusterId": "2jwAUUIzRKC5xJzFdQ6X8w",
//	  "nextProducerId": 1000,
//	  "topics": [
//	    {"name": "orders", "id": "pZg2E0hPQ6-QqHZ0v0sjJg", "partitions": 3, "configs": {"retention.ms": "-1"}}
//	  ]
//	}
//
// The checksum is of all after the first line. Ids are base64url without padding,
// as Kafka writes them. Topics ascend by name, configs by name: equal catalogs
// have equal bytes.
const (
	fileName    = "catalog"
	newFileName = "catalog.new"
	topicsDir   = "topics"

	fileMagic   = "riffle-catalog"
	fileVersion = 1

	// maxFileBytes is far more than MaxTotalPartitions topics take.
	maxFileBytes = 256 << 20
)

// FileError says why the file of a catalog is refused. Nothing was changed.
type FileError struct {
	File   string
	Reason string
	Remedy string
	Err    error // the cause, or nil
}

func (e *FileError) Error() string {
	return fmt.Sprintf("catalog: file %q %s; %s", e.File, e.Reason, e.Remedy)
}

func (e *FileError) Unwrap() error { return e.Err }

const restoreRemedy = "restore it from a backup (the logs below " + topicsDir + "/ are untouched), or start the broker with another directory"

type fileTopic struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	Partitions int32             `json:"partitions"`
	Configs    map[string]string `json:"configs,omitempty"`
}

type fileBody struct {
	ClusterID      string      `json:"clusterId"`
	NextProducerID int64       `json:"nextProducerId"`
	Topics         []fileTopic `json:"topics"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(s *state) ([]byte, error) {
	body := fileBody{ClusterID: s.clusterID, NextProducerID: s.nextProducerID, Topics: []fileTopic{}}
	for _, t := range s.sorted() {
		body.Topics = append(body.Topics, fileTopic{
			Name: t.Name, ID: base64.RawURLEncoding.EncodeToString(t.ID[:]), Partitions: t.Partitions, Configs: t.Configs,
		})
	}
	text, err := json.Marshal(body, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("catalog: encode: %w", err)
	}
	text = append(text, '\n')
	return append([]byte(firstLine(text)+"\n"), text...), nil
}

func firstLine(text []byte) string {
	return fmt.Sprintf("%s %d crc32c=%08x", fileMagic, fileVersion, crc32.Checksum(text, castagnoli))
}

func decode(b []byte) (*state, error) {
	head, text, _ := bytes.Cut(b, []byte("\n"))
	line := string(head)
	magic, rest, _ := strings.Cut(line, " ")
	if magic != fileMagic {
		return nil, &FileError{
			File: fileName, Reason: "is not a catalog of Riffle",
			Remedy: "if this directory belongs to another program, start the broker with another one; if not, " + restoreRemedy,
		}
	}
	number, _, _ := strings.Cut(rest, " ")
	if version, err := strconv.Atoi(number); err != nil || version < 1 {
		return nil, damaged("its first line is %.60q", line)
	} else if version != fileVersion {
		return nil, &FileError{
			File: fileName, Reason: fmt.Sprintf("has format version %d, this release reads %d", version, fileVersion),
			Remedy: "start the release of Riffle that wrote it, or a later one",
		}
	}
	if want := firstLine(text); line != want {
		return nil, damaged("its first line is %.60q, its contents say %q", line, want)
	}
	s, err := decodeBody(text)
	if err != nil {
		return nil, damaged("%w", err)
	}
	return s, nil
}

func damaged(format string, args ...any) *FileError {
	err := fmt.Errorf(format, args...)
	return &FileError{File: fileName, Reason: "is damaged: " + err.Error(), Remedy: restoreRemedy, Err: errors.Unwrap(err)}
}

func decodeBody(text []byte) (*state, error) {
	var body fileBody
	if err := json.Unmarshal(text, &body, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if body.ClusterID == "" {
		return nil, errors.New("the cluster id is empty")
	}
	if body.NextProducerID < 0 {
		return nil, fmt.Errorf("the next producer id is %d", body.NextProducerID)
	}
	s := newState(body.ClusterID)
	s.nextProducerID = body.NextProducerID
	for _, t := range body.Topics {
		id, err := decodeID(t.ID)
		if err != nil {
			return nil, fmt.Errorf("topic %q: %w", t.Name, err)
		}
		if other, ok := s.byID[id]; ok {
			return nil, fmt.Errorf("topics %q and %q have the same id", other.Name, t.Name)
		}
		configs, err := s.validate(t.Name, t.Partitions, t.Configs)
		if err != nil {
			return nil, err
		}
		s.add(Topic{Name: t.Name, ID: id, Partitions: t.Partitions, Configs: configs, Internal: internal(t.Name)})
	}
	return s, nil
}

func decodeID(text string) (id [16]byte, err error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("id %q is not 16 bytes in base64url", text)
	}
	return [16]byte(b), nil
}

// read returns the state that the file holds, or nil if there is none.
func read(fsys vfs.FS) (s *state, err error) {
	f, err := fsys.Open(fileName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuseOrphans(fsys)
	}
	if err != nil {
		return nil, fmt.Errorf("catalog: open: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("catalog: size of %q: %w", fileName, err)
	}
	if size > maxFileBytes {
		return nil, damaged("it has %d bytes, a catalog has at most %d", size, maxFileBytes)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, size), b); err != nil {
		return nil, fmt.Errorf("catalog: read %q: %w", fileName, err)
	}
	return decode(b)
}

// refuseOrphans keeps a lost catalog from being taken for a new broker: an empty
// catalog beside the logs of topics would give them up.
func refuseOrphans(fsys vfs.FS) error {
	names, err := fsys.List(topicsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("catalog: list %q: %w", topicsDir, err)
	}
	if len(names) > 0 {
		return &FileError{
			File: fileName, Reason: fmt.Sprintf("is missing, but %s/ holds %d topics", topicsDir, len(names)),
			Remedy: "restore it from a backup, or remove " + topicsDir + "/ to start empty",
		}
	}
	return nil
}

// unknownOutcome means that a write failed after the point up to which it can be
// taken for not done.
type unknownOutcome struct{ err error }

func (e *unknownOutcome) Error() string { return e.err.Error() }
func (e *unknownOutcome) Unwrap() error { return e.err }

// replace writes s to a new file and renames it over the old one. Until the
// rename nothing has happened, and an error leaves the old state. From then on it
// is not known which of the two a crash would leave, and a second fsync would
// not tell: the error is an *unknownOutcome.
func (c *Catalog) replace(s *state) error {
	b, err := encode(s)
	if err != nil {
		return err
	}
	if err := c.writeNew(b); err != nil {
		_ = c.fsys.Remove(newFileName) // it may be what fills the disk
		return fmt.Errorf("catalog: write %q: %w", newFileName, err)
	}
	if err := c.fsys.Rename(newFileName, fileName); err != nil {
		return &unknownOutcome{fmt.Errorf("catalog: rename %q to %q: %w", newFileName, fileName, err)}
	}
	if err := c.fsys.SyncDir("."); err != nil {
		return &unknownOutcome{fmt.Errorf("catalog: sync the directory of %q: %w", fileName, err)}
	}
	return nil
}

// writeNew starts from an empty file each time: what a failed write or fsync left
// of an earlier one does not matter.
func (c *Catalog) writeNew(b []byte) (err error) {
	f, err := c.fsys.Create(newFileName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	return f.Sync()
}

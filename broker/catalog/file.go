package catalog

import (
	"encoding/base64"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/riffle-stream/riffle/broker/statefile"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// The file, version 1: one line of text, then JSON (docs/format/catalog.md).
//
//	riffle-catalog 1 crc32c=1a2b3c4d
//	{
//	  "clusterId": "2jwAUUIzRKC5xJzFdQ6X8w",
//	  "nextProducerId": 1000,
//	  "changes": 7,
//	  "topics": [
//	    {"name": "orders", "id": "pZg2E0hPQ6-QqHZ0v0sjJg", "partitions": 3, "configs": {"retention.ms": "-1"}}
//	  ],
//	  "groups": [
//	    {"name": "billing", "configs": {"consumer.session.timeout.ms": "60000"}}
//	  ]
//	}
//
// The checksum is of all after the first line. Ids are base64url without padding,
// as Kafka writes them. Topics ascend by name, configs by name: equal catalogs
// after as many changes have equal bytes.
const (
	fileName  = "catalog"
	topicsDir = "topics"
)

var fileSpec = statefile.Spec{
	Name: fileName, Kind: "catalog", Magic: "riffle-catalog", Version: 1,
	MaxBytes: 256 << 20, // far more than MaxTotalPartitions topics take
	Restore:  "restore it from a backup (the logs below " + topicsDir + "/ are untouched), or start the broker with another directory",
}

// FileError says why the file of a catalog is refused. Nothing was changed.
type FileError = statefile.Error

type fileTopic struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	Partitions int32             `json:"partitions"`
	Configs    map[string]string `json:"configs,omitempty"`
}

type fileGroup struct {
	Name    string            `json:"name"`
	Configs map[string]string `json:"configs"`
}

type fileBody struct {
	ClusterID      string      `json:"clusterId"`
	NextProducerID int64       `json:"nextProducerId"`
	Changes        int64       `json:"changes,omitempty"`
	Topics         []fileTopic `json:"topics"`
	Groups         []fileGroup `json:"groups,omitempty"`
}

// encode returns the body of the file.
func encode(s *state) ([]byte, error) {
	body := fileBody{ClusterID: s.clusterID, NextProducerID: s.nextProducerID, Changes: s.changes, Topics: []fileTopic{}}
	for _, t := range s.sorted() {
		body.Topics = append(body.Topics, fileTopic{
			Name: t.Name, ID: base64.RawURLEncoding.EncodeToString(t.ID[:]), Partitions: t.Partitions, Configs: t.Configs,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		body.Groups = append(body.Groups, fileGroup{Name: name, Configs: s.groups[name]})
	}
	text, err := json.Marshal(body, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("catalog: encode: %w", err)
	}
	return append(text, '\n'), nil
}

func decode(body []byte) (*state, error) {
	s, err := decodeBody(body)
	if err != nil {
		return nil, fileSpec.Damaged("%w", err)
	}
	return s, nil
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
	if body.Changes < 0 {
		return nil, fmt.Errorf("it was changed %d times", body.Changes)
	}
	s := newState(body.ClusterID)
	s.nextProducerID, s.changes = body.NextProducerID, body.Changes
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
	for _, g := range body.Groups {
		configs, err := GroupTable.normalize(g.Configs)
		if err == nil && (g.Name == "" || len(configs) == 0) {
			err = errors.New("it has no name, or no configs")
		}
		if err != nil {
			return nil, fmt.Errorf("group %q: %w", g.Name, err)
		}
		s.groups[g.Name] = configs
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
func (c *Catalog) read() (*state, error) {
	body, err := c.file.Read()
	switch {
	case err != nil:
		return nil, err
	case body == nil:
		return nil, refuseOrphans(c.fsys)
	}
	return decode(body)
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
			Kind: fileSpec.Kind, File: fileName, Reason: fmt.Sprintf("is missing, but %s/ holds %d topics", topicsDir, len(names)),
			Remedy: "restore it from a backup, or remove " + topicsDir + "/ to start empty",
		}
	}
	return nil
}

// replace makes s durable, as one more change.
func (c *Catalog) replace(s *state) error {
	s.changes++
	body, err := encode(s)
	if err != nil {
		return err
	}
	return c.file.Replace(body)
}

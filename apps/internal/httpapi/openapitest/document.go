package openapitest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// resource is the name under which schemas of the document refer to each other.
const resource = "http://document/openapi.json"

// Document is an OpenAPI document.
type Document struct {
	root     map[string]any
	compiler *jsonschema.Compiler
}

// Parse reads a document.
func Parse(t testing.TB, text []byte) *Document {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("the OpenAPI document is no JSON: %v", err)
	}
	root, ok := v.(map[string]any)
	if version, _ := root["openapi"].(string); !ok || !strings.HasPrefix(version, "3.1.") {
		t.Fatalf("the document is of OpenAPI %v, want 3.1", root["openapi"])
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(resource, v); err != nil {
		t.Fatal(err)
	}
	return &Document{root, c}
}

// node is a part of the document with its place.
type node struct {
	at    string // JSON pointer
	value map[string]any
}

func (n node) child(name string) (node, bool) {
	v, ok := n.value[name].(map[string]any)
	return node{n.at + "/" + escape(name), v}, ok
}

func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// follow is the node itself, or what its $ref refers to.
func (d *Document) follow(t testing.TB, n node) node {
	t.Helper()
	ref, ok := n.value["$ref"].(string)
	if !ok {
		return n
	}
	at := node{"", d.root}
	for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		next, ok := at.child(strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~"))
		if !ok {
			t.Fatalf("%s refers to %s, which is not there", n.at, ref)
		}
		at = next
	}
	return at
}

var methods = []string{"get", "put", "post", "delete", "patch"}

// Operations are the operations by pattern, as http.ServeMux writes it.
func (d *Document) operations() map[string]node {
	found := make(map[string]node)
	paths, _ := node{"", d.root}.child("paths")
	for path := range paths.value {
		item, _ := paths.child(path)
		for _, method := range methods {
			if op, ok := item.child(method); ok {
				found[strings.ToUpper(method)+" "+path] = op
			}
		}
	}
	return found
}

// CheckRoutes fails the test unless the document has exactly the routes with these patterns, each with what a reader needs: a summary, an
// id of its own, its parameters, and responses.
func (d *Document) CheckRoutes(t testing.TB, patterns []string) {
	t.Helper()
	operations := d.operations()
	var documented []string
	ids := make(map[string]string)
	for pattern, op := range operations {
		documented = append(documented, pattern)
		id, _ := op.value["operationId"].(string)
		if summary, _ := op.value["summary"].(string); id == "" || summary == "" || ids[id] != "" {
			t.Errorf("%s has the operationId %q and the summary %q: want both, and the id once", pattern, id, summary)
		}
		ids[id] = pattern
		d.checkParameters(t, pattern, op)
		if responses, ok := op.child("responses"); !ok || len(responses.value) == 0 {
			t.Errorf("%s has no responses", pattern)
		}
	}
	slices.Sort(documented)
	want := slices.Sorted(slices.Values(patterns))
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("documented routes (-served +documented)\n%s", diff)
	}
}

// checkParameters wants the wildcards of a path among its parameters.
func (d *Document) checkParameters(t testing.TB, pattern string, op node) {
	t.Helper()
	var have, want []string
	list, _ := op.value["parameters"].([]any)
	for i, p := range list {
		value, _ := p.(map[string]any)
		n := d.follow(t, node{fmt.Sprintf("%s/parameters/%d", op.at, i), value})
		if n.value["in"] == "path" {
			have = append(have, fmt.Sprint(n.value["name"]))
		}
		if _, ok := n.value["schema"]; !ok {
			t.Errorf("%s: parameter %v has no schema", pattern, n.value["name"])
		}
	}
	for _, part := range strings.Split(pattern, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			want = append(want, strings.TrimSuffix(name, "}"))
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s: parameters in the path (-pattern +documented)\n%s", pattern, diff)
	}
}

// CheckExamples fails the test unless all schemas are valid, and each request and each response with a body has an example that fits
// its schema.
func (d *Document) CheckExamples(t testing.TB) {
	t.Helper()
	for pattern, op := range d.operations() {
		if body, ok := op.child("requestBody"); ok {
			d.checkExample(t, pattern+" request", d.follow(t, body))
		}
		responses, _ := op.child("responses")
		for status := range responses.value {
			response, _ := responses.child(status)
			d.checkExample(t, pattern+" "+status, d.follow(t, response))
		}
	}
	components, _ := node{"", d.root}.child("components")
	schemas, _ := components.child("schemas")
	for name := range schemas.value {
		if _, err := d.compiler.Compile(resource + "#" + schemas.at + "/" + escape(name)); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
}

func (d *Document) checkExample(t testing.TB, where string, n node) {
	t.Helper()
	content, ok := n.child("content")
	if !ok {
		return
	}
	for media := range content.value {
		m, _ := content.child(media)
		example, ok := m.value["example"]
		if !ok {
			t.Errorf("%s, %s: no example", where, media)
			continue
		}
		if err := d.validate(m, example); err != nil {
			t.Errorf("%s, %s: the example does not fit: %v", where, media, err)
		}
	}
}

// validate holds a value against the schema of a media type.
func (d *Document) validate(media node, v any) error {
	schema, err := d.compiler.Compile(resource + "#" + media.at + "/schema")
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

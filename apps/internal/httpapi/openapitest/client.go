package openapitest

import (
	"bytes"
	"encoding/json/v2"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Client sends requests to an API and fails the test if an answer is not as the document says, or a request that was accepted is not.
// It may be used concurrently.
type Client struct {
	Document *Document
	URL      string // without a slash at the end
	Token    string

	mu   sync.Mutex
	seen map[string]bool // PATTERN STATUS
	all  bytes.Buffer
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Decode reads the body; names of members match whatever their case.
func (a Answer) Decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.Body, v, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("the answer %s: %v", a.Body, err)
	}
}

// Do sends a request by the pattern of a route, with a path that fits it. body is sent as JSON, unless it is nil or bytes.
func (c *Client) Do(t testing.TB, pattern, path string, body any) Answer {
	t.Helper()
	method, _, _ := strings.Cut(pattern, " ")
	var sent []byte
	switch b := body.(type) {
	case nil:
	case []byte:
		sent = b
	default:
		var err error
		if sent, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	if sent != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer := Answer{Status: response.StatusCode, Header: response.Header}
	if answer.Body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	c.remember(pattern, answer)
	c.check(t, pattern, sent, answer)
	return answer
}

func (c *Client) remember(pattern string, a Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[string]bool)
	}
	c.seen[pattern+" "+strconv.Itoa(a.Status)] = true
	_ = a.Header.Write(&c.all) // it never fails
	c.all.Write(a.Body)
}

// Answers are all bytes that came back: headers and bodies.
func (c *Client) Answers() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.all.Bytes())
}

// CheckSeen fails the test for every route, but the given ones, that was never asked with success.
func (c *Client) CheckSeen(t testing.TB, but ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for pattern := range c.Document.operations() {
		succeeded := false
		for _, status := range []string{"200", "201", "204"} {
			succeeded = succeeded || c.seen[pattern+" "+status]
		}
		for _, other := range but {
			succeeded = succeeded || other == pattern
		}
		if !succeeded {
			t.Errorf("%s was never asked with success", pattern)
		}
	}
}

func (c *Client) check(t testing.TB, pattern string, sent []byte, a Answer) {
	t.Helper()
	op, ok := c.Document.operations()[pattern]
	if !ok {
		t.Fatalf("%s is not documented", pattern)
	}
	responses, _ := op.child("responses")
	response, ok := responses.child(strconv.Itoa(a.Status))
	if !ok {
		t.Fatalf("%s answers with the status %d, which is not documented: %s", pattern, a.Status, a.Body)
	}
	c.checkBody(t, pattern+" answer", c.Document.follow(t, response), a.Header.Get("Content-Type"), a.Body)
	if body, ok := op.child("requestBody"); ok && a.Status < 300 {
		c.checkBody(t, pattern+" request", c.Document.follow(t, body), "application/json", sent)
	}
}

func (c *Client) checkBody(t testing.TB, where string, n node, contentType string, body []byte) {
	t.Helper()
	content, ok := n.child("content")
	if !ok {
		if len(body) > 0 {
			t.Errorf("%s has a body, and none is documented: %s", where, body)
		}
		return
	}
	media, _, err := mime.ParseMediaType(contentType)
	m, ok := content.child(media)
	if err != nil || !ok {
		t.Fatalf("%s is of the media type %q, which is not documented", where, contentType)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%s is no JSON: %v: %s", where, err, body)
	}
	if err := c.Document.validate(m, v); err != nil {
		t.Errorf("%s is not as documented: %v\n%s", where, err, body)
	}
}

// Get returns a page that is no part of the document.
func (c *Client) Get(t testing.TB, path string) []byte {
	t.Helper()
	response, err := http.Get(c.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", path, response.StatusCode, err)
	}
	return body
}

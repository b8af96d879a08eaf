package httpapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testToken = "0123456789abcdef0123456789"

func tokenFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("anna = "+testToken+"\nbert = another-token-of-some-length\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type thing struct {
	Count int `json:"count"`
}

// newAPI has routes that do what a handler may do, well or badly.
func newAPI(t *testing.T, cfg Config, more ...Route) *API {
	t.Helper()
	cfg.Addr, cfg.TokenFile, cfg.Logger = "127.0.0.1:0", tokenFile(t), slog.New(slog.DiscardHandler)
	a, err := New(t.Context(), cfg, []byte(`{}`), append([]Route{
		{Pattern: "POST /v1/things", Handle: func(w http.ResponseWriter, r *http.Request) error {
			v, err := Decode[thing](r)
			if err != nil {
				return err
			}
			return Reply(w, http.StatusCreated, v)
		}},
		{Pattern: "GET /v1/things/{id}", Handle: func(_ http.ResponseWriter, r *http.Request) error {
			switch id := r.PathValue("id"); id {
			case "panic":
				panic("4111111111111111")
			case "error":
				return errors.New("the disk is full")
			default:
				return NotFound("there is no thing %q", id)
			}
		}},
		{Pattern: "GET /v1/me", Handle: func(w http.ResponseWriter, r *http.Request) error {
			return Reply(w, http.StatusOK, User(r.Context()))
		}},
	}, more...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// ask sends a request to an API without a network.
func ask(a *API, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{MaxBody: 50})
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		want                     []string
	}{
		{"created", "POST", "/v1/things", `{"count":3}`, 201, []string{`{"count":3}`}},
		{"no JSON", "POST", "/v1/things", `{"count":`, 400, []string{"urn:riffle:problem:json", "at byte 9"}},
		{"wrong type", "POST", "/v1/things", `{"count":"x"}`, 422, []string{`"pointer":"/count"`, "urn:riffle:problem:invalid", "want a whole number"}},
		{"unknown member", "POST", "/v1/things", `{"counts":3}`, 422, []string{`"pointer":"/counts"`, "there is no such member"}},
		{"a card as a member", "POST", "/v1/things", `{"4111111111111111":3}`, 422, []string{`"pointer":"/****************"`}},
		{"a card as a value", "POST", "/v1/things", `{"count":"4111 1111 1111 1111"}`, 422, []string{`"pointer":"/count"`}},
		{"too large", "POST", "/v1/things", `{"count":` + strings.Repeat(" ", 50) + `3}`, 413, []string{"the body may have 50 bytes"}},
		{"not found", "GET", "/v1/things/4111111111111111", "", 404, []string{"there is no thing", "****************"}},
		{"failure", "GET", "/v1/things/error", "", 500, []string{"something went wrong here"}},
		{"panic", "GET", "/v1/things/panic", "", 500, []string{"something went wrong here"}},
		{"no path", "GET", "/v2/things", "", 404, []string{"there is no such path"}},
		{"no method", "DELETE", "/v1/things", "", 405, []string{"this path answers to POST"}},
		{"another path for the same", "GET", "/v1//me", "", 404, []string{"there is no such path"}},
		{"who", "GET", "/v1/me", "", 200, []string{`"anna"`}},
	} {
		w := ask(a, test.method, test.path, "Bearer "+testToken, test.body)
		body := w.Body.String()
		if w.Code != test.status {
			t.Errorf("%s: status %d, want %d: %s", test.name, w.Code, test.status, body)
		}
		for _, want := range test.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %s lacks %q", test.name, body, want)
			}
		}
		for _, secret := range []string{"4111111111111111", "4111 1111", "disk"} {
			if strings.Contains(body, secret) {
				t.Errorf("%s: %s tells %q", test.name, body, secret)
			}
		}
		if media := w.Header().Get("Content-Type"); (test.status >= 400) != (media == "application/problem+json") {
			t.Errorf("%s: status %d with the media type %s", test.name, w.Code, media)
		}
	}
	r := httptest.NewRequest("POST", "/v1/things", strings.NewReader("count=3"))
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if a.ServeHTTP(w, r); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("a form: status %d", w.Code)
	}
}

// Without a token that is known nothing is told but what is open, not even which paths there are.
func TestTokens(t *testing.T) {
	t.Parallel()
	ready := false
	a := newAPI(t, Config{Ready: func() bool { return ready }})
	for token, want := range map[string]int{
		"Bearer " + testToken:                  200,
		"bearer " + testToken:                  200,
		"Bearer another-token-of-some-length":  200,
		"":                                     401,
		"Bearer":                               401,
		"Bearer ":                              401,
		"Basic " + testToken:                   401,
		testToken:                              401,
		"Bearer " + testToken[1:]:              401,
		"Bearer " + testToken + "x":            401,
		"Bearer anna":                          401,
		"Bearer " + strings.ToUpper(testToken): 401,
		"Bearer anna = " + testToken:           401,
		"Bearer " + testToken + ", " + "Basic abc": 401,
	} {
		w := ask(a, "GET", "/v1/me", token, "")
		if w.Code != want {
			t.Errorf("Authorization: %q: status %d, want %d", token, w.Code, want)
		}
		if want == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("Authorization: %q: no WWW-Authenticate", token)
		}
	}
	for path, want := range map[string]int{"/v1/openapi.json": 200, "/livez": 200, "/readyz": 503, "/v1/nothing": 401} {
		if w := ask(a, "GET", path, "", ""); w.Code != want {
			t.Errorf("%s without a token: status %d, want %d", path, w.Code, want)
		}
	}
	ready = true
	if w := ask(a, "GET", "/readyz", "", ""); w.Code != 200 {
		t.Errorf("when ready: status %d", w.Code)
	}
}

func TestTokenFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first, made, err := openTokens("", dir)
	if err != nil || len(first) != 1 || first[0].name != "admin" || made != filepath.Join(dir, "api-tokens") {
		t.Fatalf("the first start: %v, %q, %v", first, made, err)
	}
	again, made, err := openTokens("", dir)
	if err != nil || again[0] != first[0] || made != "" {
		t.Errorf("the second start: %q, %v, want the token of before", made, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "api-tokens")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v, want mode 0600", info.Mode(), err)
	}
	if _, _, err := openTokens("", ""); err == nil || !strings.Contains(err.Error(), "--token-file") {
		t.Errorf("with nowhere to look: %v", err)
	}
	for text, want := range map[string]string{"": "there are none", "anna = short": "can be guessed", "secret": "line 1: want NAME = VALUE"} {
		if _, err := parseTokens([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("tokens %q: %v, want %q", text, err, want)
		}
	}
}

// Requests above the limit are told to come again; when one has ended, the next is welcome.
func TestMaxRequests(t *testing.T) {
	t.Parallel()
	inside, leave := make(chan struct{}), make(chan struct{})
	a := newAPI(t, Config{MaxRequests: 1}, Route{Pattern: "GET /v1/slow", Handle: func(w http.ResponseWriter, _ *http.Request) error {
		close(inside)
		<-leave
		return Reply(w, http.StatusOK, "done")
	}})
	done := make(chan int)
	go func() { done <- ask(a, "GET", "/v1/slow", "Bearer "+testToken, "").Code }()
	<-inside
	if w := ask(a, "GET", "/v1/me", "Bearer "+testToken, ""); w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("one more: status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	close(leave)
	if code := <-done; code != 200 {
		t.Errorf("the first one: status %d", code)
	}
	if w := ask(a, "GET", "/v1/me", "Bearer "+testToken, ""); w.Code != 200 {
		t.Errorf("after it: status %d", w.Code)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	a := newAPI(t, Config{Wait: time.Minute, MaxWait: time.Minute})
	for query, want := range map[string]time.Duration{"": time.Minute, "?wait=10s": 10 * time.Second, "?wait=2m": 0, "?wait=-1s": 0, "?wait=4111111111111111": 0} {
		ctx, cancel, err := a.Wait(httptest.NewRequest("GET", "/"+query, nil))
		if err != nil {
			if want != 0 {
				t.Errorf("%s: %v", query, err)
			}
			continue
		}
		defer cancel()
		deadline, _ := ctx.Deadline()
		if left := time.Until(deadline); want == 0 || left > want || left < want-5*time.Second {
			t.Errorf("%s: %v are left, want %v", query, left, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
		_, err := New(t.Context(), Config{Addr: addr, TokenFile: tokenFile(t)}, nil, nil)
		if err == nil || !strings.Contains(err.Error(), "--allow-plaintext") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	a, err := New(t.Context(), Config{Addr: ":0", TokenFile: tokenFile(t), AllowPlaintext: true}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	for want, cfg := range map[string]Config{
		"is not host:port":       {Addr: "localhost"},
		"come together":          {CertFile: "x"},
		"--wait is 1h0m0s":       {Wait: time.Hour},
		"want at least 1":        {MaxBody: -1},
		"--tls-cert: open /none": {CertFile: "/none", KeyFile: "/none"},
	} {
		cfg.TokenFile = tokenFile(t)
		if _, err := New(t.Context(), cfg, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

// Over TLS, until the context ends.
func TestServe(t *testing.T) {
	t.Parallel()
	certificate, key, roots := makeCertificate(t)
	a, err := New(t.Context(), Config{Addr: "127.0.0.1:0", TokenFile: tokenFile(t), CertFile: certificate, KeyFile: key}, []byte(`{"openapi":"3.1.0"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- a.Serve(ctx) }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	response, err := client.Get(a.URL() + "/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil || string(body) != `{"openapi":"3.1.0"}` {
		t.Errorf("the document is %q, %v", body, err)
	}
	client.CloseIdleConnections()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func makeCertificate(t *testing.T) (certificate, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err1 := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	keyDER, err2 := x509.MarshalPKCS8PrivateKey(private)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER), roots
}

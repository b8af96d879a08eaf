package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A server that is starting or stopping lives, but is not ready.
func TestHealth(t *testing.T) {
	t.Parallel()
	h := new(health)
	handler := h.handler(prometheus.NewRegistry())
	for _, tc := range []struct {
		ready  bool
		method string
		path   string
		want   int
	}{
		{false, "GET", "/livez", http.StatusOK},
		{false, "GET", "/readyz", http.StatusServiceUnavailable},
		{false, "GET", "/metrics", http.StatusOK},
		{true, "GET", "/readyz", http.StatusOK},
		{true, "POST", "/readyz", http.StatusMethodNotAllowed},
		{true, "GET", "/", http.StatusNotFound},
	} {
		h.ready.Store(tc.ready)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, nil))
		if w.Code != tc.want {
			t.Errorf("ready %v: %s %s = %d, want %d", tc.ready, tc.method, tc.path, w.Code, tc.want)
		}
	}
}

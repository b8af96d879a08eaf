package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health answers over HTTP how the server is.
type health struct {
	addr   string // empty if it is turned off
	ready  atomic.Bool
	server *http.Server
	served chan error
}

// startHealth serves /metrics, /livez and /readyz at addr, or nothing if addr is empty.
func startHealth(ctx context.Context, addr string, allowPlaintext bool, metrics prometheus.Gatherer) (*health, error) {
	h := new(health)
	if addr == "" {
		return h, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, usagef("--metrics-addr %q is not host:port: %w", addr, err)
	}
	if ip := net.ParseIP(host); !allowPlaintext && host != "localhost" && !ip.IsLoopback() {
		return nil, fmt.Errorf("--metrics-addr %s can be reached by other machines: use 127.0.0.1, or add --allow-plaintext in a network you trust", addr)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--metrics-addr %s is in use by another process: stop it, or take another port (0: a free one)", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("--metrics-addr: %w", err)
	}
	h.addr = l.Addr().String()
	h.server = &http.Server{
		Handler:           h.handler(metrics),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	h.served = make(chan error, 1)
	go func() { h.served <- h.server.Serve(l) }()
	return h, nil
}

func (h *health) handler(metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !h.ready.Load() {
			http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// close cuts what is being answered: it is nothing that cannot be asked again.
func (h *health) close() error {
	if h.server == nil {
		return nil
	}
	err := h.server.Close()
	if served := <-h.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/riffle-stream/riffle/internal/memnet"
)

// The in-memory listener is advertised under a name that no resolver knows: a
// client that ignores its dialer fails at once and does not reach another broker.
const (
	memoryHost = "memory.riffle.invalid"
	memoryPort = 9092
)

// listener is one way into the broker.
type listener struct {
	net.Listener
	name   string // in metrics: the address, or "memory"
	memory bool
	// sasl means that clients must log in, by one of mechanisms.
	sasl       bool
	mechanisms []string
	tls        *tls.Config // nil: no TLS
	// host and port are advertised; an empty host stands for the address by which
	// the client came.
	host string
	port int32
}

// advertised is where a client of nc is told to connect.
func (l *listener) advertised(nc net.Conn) (host string, port int32) {
	if l.host != "" {
		return l.host, l.port
	}
	if a, ok := nc.LocalAddr().(*net.TCPAddr); ok {
		return a.IP.String(), l.port
	}
	return l.name, l.port
}

func memoryListener(cfg SASLConfig) *listener {
	return &listener{
		Listener: memnet.Listen(net.JoinHostPort(memoryHost, strconv.Itoa(memoryPort)), memnet.Config{}),
		name:     "memory", memory: true, host: memoryHost, port: memoryPort,
		sasl: cfg.Dial, mechanisms: cfg.mechanisms(true),
	}
}

// listen opens the TCP listeners of the configuration, all or none.
func listen(ctx context.Context, cfg Config) ([]*listener, error) {
	var (
		ls   []*listener
		errs []error
	)
	for i, addr := range cfg.Listen {
		advertise := ""
		if i < len(cfg.Advertise) {
			advertise = cfg.Advertise[i]
		}
		l, err := listenTCP(ctx, addr, advertise, cfg)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ls = append(ls, l)
	}
	if len(errs) > 0 {
		closeListeners(ls)
		return nil, errors.Join(errs...)
	}
	return ls, nil
}

func closeListeners(ls []*listener) {
	for _, l := range ls {
		_ = l.Close()
	}
}

func listenTCP(ctx context.Context, listen, advertise string, cfg Config) (*listener, error) {
	p, err := parseListen(listen)
	if err != nil {
		return nil, err
	}
	addr := p.addr
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("broker: listen address %q is not host:port: %w", addr, err)
	}
	private := loopback(ctx, host)
	clientAuth := cfg.TLS.clientAuth(p)
	if lacks := p.lacks(clientAuth); lacks != "" && !private && !cfg.AllowPlaintext {
		return nil, fmt.Errorf("broker: %s can be reached by other machines, and there is no %s on it: "+
			"listen on 127.0.0.1, take sasl_ssl://, or set AllowPlaintext (--allow-plaintext) in a network you trust", addr, lacks)
	}
	var certs *certificates
	if p.tls {
		if certs, err = openCertificates(cfg.TLS, clientAuth, cfg.Logger); err != nil {
			return nil, err
		}
	}
	nl, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("broker: %s is in use by another process: stop it, or listen on another port: %w", addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("broker: listen on %s: %w", addr, err)
	}
	l := &listener{Listener: nl, name: nl.Addr().String(), sasl: p.sasl}
	if p.sasl {
		l.mechanisms = cfg.SASL.mechanisms(private || p.tls)
	}
	if p.tls {
		l.tls = certs.serverConfig()
	}
	bound := nl.Addr().(*net.TCPAddr)
	l.port = int32(bound.Port)
	switch {
	case advertise != "":
		h, p, err := net.SplitHostPort(advertise)
		port, perr := strconv.ParseUint(p, 10, 16)
		if err := errors.Join(err, perr); err != nil || h == "" || port == 0 {
			_ = nl.Close()
			return nil, fmt.Errorf("broker: advertised address %q of %s is not host:port", advertise, addr)
		}
		l.host, l.port = h, int32(port)
	case !bound.IP.IsUnspecified():
		l.host = host // as it was written: a certificate or a hosts file may name it
	}
	return l, nil
}

// loopback reports whether only this machine can reach host.
func loopback(ctx context.Context, host string) bool {
	if host == "" {
		return false // all interfaces
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	for _, ip := range ips {
		if !ip.IP.IsLoopback() {
			return false
		}
	}
	return err == nil && len(ips) > 0
}

// connections counts and holds what is connected.
type connections struct {
	maxTotal, maxPerIP, maxUnauthenticated int // immutable

	mu    sync.Mutex
	all   map[*conn]struct{}
	perIP map[string]int
	tcp   int
	// unauthenticated counts those whose clients have not proved who they are.
	unauthenticated int
	closed          bool
	wg              sync.WaitGroup // one for each of all
}

// add takes a connection in, or says why not.
func (cs *connections) add(c *conn) (refused string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ip := remoteIP(c)
	switch {
	case cs.closed:
		return "stopping"
	case !c.auth.done.Load() && cs.unauthenticated >= cs.maxUnauthenticated:
		return "unauthenticated"
	case c.listener.memory:
	case cs.tcp >= cs.maxTotal:
		return "total"
	case cs.perIP[ip] >= cs.maxPerIP:
		return "per_ip"
	default:
		cs.tcp++
		cs.perIP[ip]++
	}
	if !c.auth.done.Load() {
		cs.unauthenticated++
	}
	cs.all[c] = struct{}{}
	cs.wg.Add(1)
	return ""
}

func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.all, c)
	if !c.auth.done.Load() {
		cs.unauthenticated--
	}
	if !c.listener.memory {
		ip := remoteIP(c)
		cs.tcp--
		if cs.perIP[ip]--; cs.perIP[ip] == 0 {
			delete(cs.perIP, ip)
		}
	}
	cs.wg.Done()
}

// authenticated makes room for another client that has to prove who it is.
func (cs *connections) authenticated() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.unauthenticated--
}

// stop asks all connections to finish and admits no more.
func (cs *connections) stop() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
	for c := range cs.all {
		c.stop()
	}
}

// cut ends all connections now.
func (cs *connections) cut() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.all {
		_ = c.raw.Close() // without TLS's goodbye, for which a client that is stuck would have to read
	}
}

func remoteIP(c *conn) string {
	if a, ok := c.nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return ""
}

// acceptLoop serves the connections of a listener until it is closed.
func (b *Broker) acceptLoop(l *listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of file descriptors, most likely: those in use come free.
			b.cfg.Logger.Warn("broker: cannot accept a connection, trying again", "listener", l.name, "cause", err)
			select {
			case <-b.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		c := newConn(b, l, nc)
		if refused := b.conns.add(c); refused != "" {
			b.metrics.refused.WithLabelValues(refused).Inc()
			b.cfg.Logger.Warn("broker: connection refused", "client", nc.RemoteAddr().String(), "limit", refused)
			c.cancel()
			_ = nc.Close()
			continue
		}
		b.metrics.connections.WithLabelValues(l.name).Inc()
		go func() {
			defer b.conns.remove(c)
			defer b.metrics.connections.WithLabelValues(l.name).Dec()
			c.serve()
		}()
	}
}

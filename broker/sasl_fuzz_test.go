package broker_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
	xdg "github.com/xdg-go/scram"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
)

// edit replaces cut bytes of a message.
type edit struct {
	at     uint16
	cut    uint16
	insert []byte
}

func (e edit) apply(message []byte) []byte {
	from := min(int(e.at), len(message))
	to := min(from+int(e.cut), len(message))
	return slices.Concat(message[:from], e.insert, message[to:])
}

// FuzzLogin logs in by each mechanism, with bare messages of SASL or in SaslAuthenticate,
// and edits one of the messages: nobody gets in by one that is not as good as the
// original, no handler panics, little is allocated, and others log in as before.
func FuzzLogin(f *testing.F) {
	registry := prometheus.NewRegistry()
	b := brokertest.Start(f, brokertest.With(func(c *broker.Config) {
		secured(c)
		c.Listen, c.Registerer = nil, registry
		c.SASL.MaxLoginsPerSecond = 1e6
	}))
	clients := map[string]*xdg.Client{} // they remember what they derived from the password
	for name, hash := range map[string]xdg.HashGeneratorFcn{"SCRAM-SHA-256": xdg.SHA256, "SCRAM-SHA-512": xdg.SHA512} {
		client, err := hash.NewClientUnprepped(alice, alicesPassword, "")
		if err != nil {
			f.Fatal(err)
		}
		clients[name] = client
	}
	f.Add("PLAIN", false, int16(2), false, uint16(0), uint16(0), []byte{})
	f.Add("PLAIN", true, int16(0), false, uint16(0), uint16(9), []byte{})
	f.Add("PLAIN", false, int16(2), false, uint16(0), uint16(1000), make([]byte, 16_000))
	f.Add("SCRAM-SHA-256", false, int16(0), false, uint16(0), uint16(1), []byte("y"))
	f.Add("SCRAM-SHA-256", true, int16(0), false, uint16(3), uint16(0), []byte("a=alice,"))
	f.Add("SCRAM-SHA-256", false, int16(1), true, uint16(2), uint16(4), []byte("eSws"))
	f.Add("SCRAM-SHA-512", false, int16(2), true, uint16(0), uint16(0), []byte{})
	f.Add("SCRAM-SHA-512", true, int16(2), true, uint16(100), uint16(1), []byte("="))
	f.Add("GSSAPI", false, int16(2), false, uint16(0), uint16(0), []byte("\x60\x82"))

	f.Fuzz(func(t *testing.T, mechanism string, bare bool, version int16, second bool, at, cut uint16, insert []byte) {
		if version < 0 || version > 2 {
			return
		}
		attempt := func() *loginAttempt {
			a := &loginAttempt{version: version, second: second, edit: edit{at, cut, insert}}
			switch client := clients[mechanism]; {
			case client != nil:
				a.login = waryLogin{client.NewConversation()}
			default:
				a.login = &plainLogin{message: "\x00" + alice + "\x00" + alicesPassword}
			}
			a.run(t, b, mechanism, bare)
			return a
		}
		var a *loginAttempt
		got, limit := broker.Allocates(func() uint64 {
			a = attempt()
			return uint64(128<<10 + 4*a.sent)
		})
		if got > limit {
			t.Errorf("%d bytes made broker and client allocate %d, the limit is %d", a.sent, got, limit)
		}
		if want := a.good() && (mechanism == "PLAIN" || clients[mechanism] != nil); a.in != want {
			t.Errorf("let in by %q in place of %q: %v, want %v", a.edited, a.original, a.in, want)
		}
		if panics(t, registry) > 0 {
			t.Fatal("a handler panicked")
		}
		if other := (&loginAttempt{login: newLogin(t, "PLAIN", bob, bobsPassword)}); !other.run(t, b, "PLAIN", false) {
			t.Fatal("another client cannot log in any more")
		}
	})
}

// waryLogin is a login by SCRAM that ends where the client does not trust the server.
type waryLogin struct{ talk *xdg.ClientConversation }

func (l waryLogin) next(message []byte) (answer []byte, done bool) {
	text, err := l.talk.Step(string(message))
	if err != nil {
		return nil, false
	}
	return []byte(text), l.talk.Done()
}

// loginAttempt is a login in which one message is edited.
type loginAttempt struct {
	login   login
	version int16 // of SaslAuthenticate
	second  bool  // the second message is edited, not the first
	edit    edit

	original, edited []byte
	sent             int
	in               bool // the client was let in
}

// run logs in, then asks for something that only those get who did.
func (a *loginAttempt) run(t testing.TB, b *broker.Broker, mechanism string, bare bool) bool {
	t.Helper()
	nc, err := b.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	handshake := handshakeRequest(1, mechanism)
	if bare {
		handshake.Version = 0
	}
	if _, ok := a.ask(nc, requestFrame(handshake.Key(), handshake.Version, handshake.AppendTo(nil))); !ok {
		return false
	}
	var answer []byte
	for step := 0; ; step++ {
		message, done := a.login.next(answer)
		if done {
			break
		}
		if message == nil {
			return false // the client has had enough of the answer
		}
		if (step == 1) == a.second {
			a.original, a.edited = message, a.edit.apply(message)
			message = a.edited
		}
		var ok bool
		if answer, ok = a.sendToken(nc, message, bare); !ok {
			return false
		}
	}
	metadata := at(1, kmsg.NewPtrMetadataRequest())
	_, a.in = a.ask(nc, requestFrame(metadata.Key(), metadata.Version, metadata.AppendTo(nil)))
	return a.in
}

// sendToken sends a message of SASL and returns the answer to it.
func (a *loginAttempt) sendToken(nc net.Conn, message []byte, bare bool) (answer []byte, ok bool) {
	if bare {
		return a.ask(nc, append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...))
	}
	req := at(a.version, kmsg.NewPtrSASLAuthenticateRequest())
	req.SASLAuthBytes = message
	answer, ok = a.ask(nc, requestFrame(req.Key(), req.Version, req.AppendTo(nil)))
	if !ok {
		return nil, false
	}
	header := 4
	if req.IsFlexible() {
		header++
	}
	resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
	if err := resp.ReadFrom(answer[header:]); err != nil || resp.ErrorCode != 0 {
		return nil, false
	}
	return resp.SASLAuthBytes, true
}

// ask sends a frame and returns the one that comes back, unless the broker closes.
func (a *loginAttempt) ask(nc net.Conn, frame []byte) (answer []byte, ok bool) {
	a.sent += len(frame)
	go func() { _, _ = nc.Write(frame) }()
	var size [4]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		return nil, false
	}
	answer = make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(nc, answer)
	return answer, err == nil
}

// good reports whether the edited message proves as much as the original.
func (a *loginAttempt) good() bool {
	if bytes.Equal(a.edited, a.original) {
		return true
	}
	if _, plain := a.login.(*plainLogin); plain {
		return slices.Contains([]string{
			alice + "\x00" + alice + "\x00" + alicesPassword,
			"\x00" + bob + "\x00" + bobsPassword, bob + "\x00" + bob + "\x00" + bobsPassword,
		}, string(a.edited))
	}
	if !a.second {
		return false
	}
	// Base64 has more than one text for the same bytes.
	before, proof, _ := bytes.Cut(a.original, []byte(",p="))
	editedBefore, editedProof, _ := bytes.Cut(a.edited, []byte(",p="))
	want, _ := base64.StdEncoding.DecodeString(string(proof))
	got, err := base64.StdEncoding.DecodeString(string(editedProof))
	return err == nil && bytes.Equal(editedBefore, before) && bytes.Equal(got, want)
}

package broker_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	xdg "github.com/xdg-go/scram"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/scram"
)

const (
	alice, alicesPassword = "alice", "correct horse, battery=staple"
	bob, bobsPassword     = "bob", "swordfish"
)

// secured makes all listeners ask for a login of alice or bob, quickly.
func secured(c *broker.Config) {
	c.Listen = []string{"sasl_plaintext://127.0.0.1:0"}
	c.SASL.Dial = true
	c.SASL.Users = []broker.User{{alice, alicesPassword}, {bob, bobsPassword}}
	c.SASL.Iterations = scram.MinIterations
	c.SASL.FailureDelay = 1
	c.Authorization.SuperUsers = []string{"User:" + alice}
}

// overBothSecured runs a test on a secured broker over TCP and in memory.
func overBothSecured(t *testing.T, test func(t *testing.T, dial func() *raw)) {
	for _, transport := range []string{"memory", "tcp"} {
		t.Run("transport="+transport, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, brokertest.With(secured))
			test(t, func() *raw { t.Helper(); return dial(t, b, transport) })
		})
	}
}

// login is the client's side of a login.
type login interface {
	// next takes the server's message, empty at first, and returns the answer to it.
	next(message []byte) (answer []byte, done bool)
}

type plainLogin struct {
	message string
	sent    bool
}

func (l *plainLogin) next([]byte) (answer []byte, done bool) {
	done, l.sent = l.sent, true
	return []byte(l.message), done
}

type scramLogin struct {
	t    testing.TB
	talk *xdg.ClientConversation
}

func (l scramLogin) next(message []byte) (answer []byte, done bool) {
	text, err := l.talk.Step(string(message))
	if err != nil {
		l.t.Fatalf("the client refuses %q: %v", message, err)
	}
	return []byte(text), l.talk.Done()
}

func newLogin(t testing.TB, mechanism, user, password string) login {
	t.Helper()
	hash := xdg.SHA256
	switch mechanism {
	case "PLAIN":
		return &plainLogin{message: "\x00" + user + "\x00" + password}
	case "SCRAM-SHA-512":
		hash = xdg.SHA512
	}
	client, err := hash.NewClientUnprepped(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	return scramLogin{t, client.NewConversation()}
}

func handshakeRequest(version int16, mechanism string) *kmsg.SASLHandshakeRequest {
	req := at(version, kmsg.NewPtrSASLHandshakeRequest())
	req.Mechanism = mechanism
	return req
}

// login logs in with SaslAuthenticate in a version, and returns the last answer.
func (r *raw) login(version int16, mechanism, user, password string) *kmsg.SASLAuthenticateResponse {
	r.t.Helper()
	if code := do[*kmsg.SASLHandshakeResponse](r, handshakeRequest(1, mechanism)).ErrorCode; code != 0 {
		r.t.Fatalf("handshake for %s: error %d", mechanism, code)
	}
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	for l := newLogin(r.t, mechanism, user, password); ; {
		message, done := l.next(resp.SASLAuthBytes)
		if done {
			return resp
		}
		req := at(version, kmsg.NewPtrSASLAuthenticateRequest())
		req.SASLAuthBytes = message
		if resp = do[*kmsg.SASLAuthenticateResponse](r, req); resp.ErrorCode != 0 {
			return resp
		}
	}
}

// mustLogin logs in and fails the test otherwise.
func (r *raw) mustLogin(user, password string) *raw {
	r.t.Helper()
	if resp := r.login(2, "SCRAM-SHA-256", user, password); resp.ErrorCode != 0 {
		r.t.Fatalf("log in as %s: error %d, %s", user, resp.ErrorCode, text(resp.ErrorMessage))
	}
	return r
}

// served checks that the client is let in.
func (r *raw) served(what string) {
	r.t.Helper()
	if resp := do[*kmsg.MetadataResponse](r, at(1, kmsg.NewPtrMetadataRequest())); len(resp.Brokers) != 1 {
		r.t.Errorf("%s: metadata names %d brokers", what, len(resp.Brokers))
	}
}

// Assertion 10: all mechanisms log in, and a wrong password is an answer, then the end.
func TestLogin(t *testing.T) {
	t.Parallel()
	overBothSecured(t, func(t *testing.T, dial func() *raw) {
		for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
			for v := int16(0); v <= 2; v++ {
				what := fmt.Sprintf("%s v%d", mechanism, v)
				r := dial()
				if resp := r.login(v, mechanism, alice, alicesPassword); resp.ErrorCode != 0 || resp.SessionLifetimeMillis != 0 {
					t.Errorf("%s: %+v", what, resp)
				}
				r.served(what)
				for _, wrong := range [][2]string{{alice, bobsPassword}, {"nobody", "x"}} {
					r := dial()
					resp := r.login(v, mechanism, wrong[0], wrong[1])
					if resp.ErrorCode != kerr.SaslAuthenticationFailed.Code || text(resp.ErrorMessage) != "Authentication failed: wrong user or password" {
						t.Errorf("%s as %s: error %d, %s", what, wrong[0], resp.ErrorCode, text(resp.ErrorMessage))
					}
					r.wantClosed(what + " with a wrong password")
				}
			}
		}
	})
}

// Assertion 10, continued: version 0 of the handshake goes on with bare messages of SASL, then with requests.
func TestLoginWithoutHeaders(t *testing.T) {
	t.Parallel()
	overBothSecured(t, func(t *testing.T, dial func() *raw) {
		for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-512"} {
			for _, password := range []string{alicesPassword, "wrong"} {
				r := dial()
				do[*kmsg.SASLHandshakeResponse](r, handshakeRequest(0, mechanism))
				var answer []byte
				for l := newLogin(t, mechanism, alice, password); ; {
					message, done := l.next(answer)
					if done {
						r.served(mechanism)
						break
					}
					r.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...))
					if password == "wrong" && (mechanism == "PLAIN" || len(answer) > 0) {
						r.wantClosed(mechanism + " with a wrong password")
						break
					}
					answer = r.frame()
				}
			}
		}
	})
}

// Assertion 10, continued: before the login nothing is served but what it takes, and no large frame is read.
func TestNothingBeforeTheLogin(t *testing.T) {
	t.Parallel()
	overBothSecured(t, func(t *testing.T, dial func() *raw) {
		r := dial()
		for v := int16(0); v <= 4; v++ {
			req := at(v, kmsg.NewPtrApiVersionsRequest())
			req.ClientSoftwareName, req.ClientSoftwareVersion = "raw", "1"
			keys := do[*kmsg.ApiVersionsResponse](r, req).ApiKeys
			if len(keys) < 40 {
				t.Errorf("ApiVersions v%d: %d keys", v, len(keys))
			}
			if v > 0 {
				continue
			}
			for _, k := range keys {
				if k.ApiKey == 17 || k.ApiKey == 18 || k.ApiKey == 36 {
					continue
				}
				r := dial()
				r.send(at(k.MaxVersion, kmsg.RequestForKey(k.ApiKey)))
				r.wantClosed(kmsg.NameForKey(k.ApiKey) + " before the login")
			}
		}
		length := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
		for name, bytes := range map[string][]byte{
			"SaslAuthenticate without a handshake": frame(36, 0, 1, []byte{0xff, 0xff, 0, 0, 0, 1, 'x'}),
			"a large frame":                        append(length(64<<10+1), frame(18, 0, 1, nil)[4:]...),
			"a large produce":                      append(length(1<<20), frame(0, 9, 1, nil)[4:]...),
			"a large token":                        append(length(16<<10+1), frame(36, 0, 1, nil)[4:]...),
		} {
			r := dial()
			r.write(bytes)
			r.wantClosed(name)
		}
		r = dial()
		do[*kmsg.SASLHandshakeResponse](r, handshakeRequest(1, "SCRAM-SHA-256"))
		r.send(at(1, kmsg.NewPtrMetadataRequest()))
		r.wantClosed("Metadata between handshake and login")
		r = dial()
		do[*kmsg.SASLHandshakeResponse](r, handshakeRequest(0, "SCRAM-SHA-256"))
		r.write(length(16<<10 + 1))
		r.wantClosed("a large bare token")
		dial().mustLogin(alice, alicesPassword).served("another connection")
	})
}

func TestHandshakeOffersMechanisms(t *testing.T) {
	t.Parallel()
	offered := func(listen string, mechanisms ...string) string {
		b := brokertest.Start(t, brokertest.With(secured), brokertest.With(func(c *broker.Config) {
			c.Listen, c.AllowPlaintext, c.SASL.Mechanisms = []string{listen}, true, mechanisms
		}))
		r := dial(t, b, "tcp")
		resp := do[*kmsg.SASLHandshakeResponse](r, handshakeRequest(1, "GSSAPI"))
		if resp.ErrorCode != kerr.UnsupportedSaslMechanism.Code {
			t.Errorf("GSSAPI on %s: error %d", listen, resp.ErrorCode)
		}
		r.wantClosed("after a mechanism that is not offered")
		return strings.Join(resp.SupportedMechanisms, " ")
	}
	for _, tc := range []struct{ got, want string }{
		{offered("sasl_plaintext://127.0.0.1:0"), "SCRAM-SHA-512 SCRAM-SHA-256 PLAIN"},
		{offered("SASL_PLAINTEXT://0.0.0.0:0"), "SCRAM-SHA-512 SCRAM-SHA-256"}, // a password would be read
		{offered("sasl_plaintext://0.0.0.0:0", "PLAIN"), "PLAIN"},
	} {
		if tc.got != tc.want {
			t.Errorf("offered %s, want %s", tc.got, tc.want)
		}
	}
	// Where there is no SASL it is said.
	r := dial(t, brokertest.Start(t), "memory")
	if code := do[*kmsg.SASLHandshakeResponse](r, handshakeRequest(1, "PLAIN")).ErrorCode; code != kerr.IllegalSaslState.Code {
		t.Errorf("handshake on a plaintext listener: error %d", code)
	}
	if code := do[*kmsg.SASLAuthenticateResponse](r, at(2, kmsg.NewPtrSASLAuthenticateRequest())).ErrorCode; code != kerr.IllegalSaslState.Code {
		t.Errorf("SaslAuthenticate on a plaintext listener: error %d", code)
	}
	r.served("the connection afterwards")
}

// Who has not logged in after ten seconds is sent away, whether silent or busy; a
// failed login is answered after a while.
func TestLoginTimes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *broker.Config) { secured(c); c.Listen, c.SASL.FailureDelay = nil, 0 }, func(t *testing.T, r *raw) {
		if got := closedAfter(t, r); got != 10*time.Second {
			t.Errorf("a silent client was closed after %v, want 10s", got)
		}
		busy := r.again()
		_ = busy.nc.SetDeadline(time.Time{})
		began := time.Now()
		for time.Since(began) < 9*time.Second {
			do[*kmsg.ApiVersionsResponse](busy, at(0, kmsg.NewPtrApiVersionsRequest()))
			time.Sleep(time.Second)
		}
		if closedAfter(t, busy); time.Since(began) != 10*time.Second {
			t.Errorf("a busy client was closed after %v, want 10s", time.Since(began))
		}
		wrong := r.again()
		began = time.Now()
		wrong.login(2, "PLAIN", alice, "wrong")
		if got := time.Since(began); got != 250*time.Millisecond {
			t.Errorf("a failed login was answered after %v, want 250ms", got)
		}
		in := r.again().mustLogin(alice, alicesPassword)
		_ = in.nc.SetDeadline(time.Time{})
		time.Sleep(9 * time.Minute)
		in.served("nine minutes after the login")
	})
}

// A login that has expired is renewed on the same connection, by the same user.
func TestLoginExpires(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *broker.Config) { secured(c); c.Listen, c.SASL.MaxReauth = nil, time.Minute }, func(t *testing.T, first *raw) {
		in := func() *raw {
			r := first.again()
			_ = r.nc.SetDeadline(time.Time{})
			if got := r.login(2, "SCRAM-SHA-256", alice, alicesPassword).SessionLifetimeMillis; got != 60_000 {
				t.Errorf("the login is good for %d ms, want a minute", got)
			}
			time.Sleep(50 * time.Second)
			r.served("before the login expires")
			return r
		}
		renewed := in()
		if resp := renewed.login(1, "PLAIN", alice, alicesPassword); resp.ErrorCode != 0 || resp.SessionLifetimeMillis != 60_000 {
			t.Errorf("renewed: %+v", resp)
		}
		time.Sleep(59 * time.Second)
		renewed.served("after it was renewed")

		expired := in()
		time.Sleep(11 * time.Second)
		expired.send(at(1, kmsg.NewPtrMetadataRequest()))
		expired.wantClosed("a request after the login expired")

		other := in()
		if resp := other.login(2, "SCRAM-SHA-256", bob, bobsPassword); resp.ErrorCode != kerr.SaslAuthenticationFailed.Code {
			t.Errorf("another user on the connection: error %d", resp.ErrorCode)
		}
		other.wantClosed("after another user tried")
	})
}

// Connections that have not logged in do not crowd out those that have.
func TestUnauthenticatedConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := brokertest.Start(t, brokertest.With(secured), brokertest.With(func(c *broker.Config) { c.Listen, c.MaxUnauthenticated = nil, 3 }))
		var silent []*raw
		for range 3 {
			silent = append(silent, dial(t, b, "memory"))
		}
		synctest.Wait()
		dial(t, b, "memory").wantClosed("the fourth that has not logged in")
		silent[0].mustLogin(alice, alicesPassword)
		fourth := dial(t, b, "memory").mustLogin(bob, bobsPassword)
		silent[1].nc.Close()
		synctest.Wait()
		dial(t, b, "memory").mustLogin(bob, bobsPassword)
		fourth.served("the fourth")
	})
}

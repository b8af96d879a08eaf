package broker_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	saslscram "github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// A foreign administrator makes a user, who logs in by each mechanism, also after a
// restart, until it is deleted.
func TestUsersAreMadeAndDeleted(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	open := func() *broker.Broker {
		return brokertest.Start(t, brokertest.FS(fsys), brokertest.With(secured), brokertest.With(func(c *broker.Config) { c.SASL.Dial = false }))
	}
	b := open()
	admin := kadm.NewClient(brokertest.Client(t, b))
	_, err := admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{
		{User: "carol", Mechanism: kadm.ScramSha256, Iterations: 8192, Password: "first"},
		{User: "carol", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "second"},
	})
	if err != nil {
		t.Fatal(err)
	}
	login := func(m sasl.Mechanism) error {
		cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.SASL(m), kgo.RequestRetries(0))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		return cl.Ping(t.Context())
	}
	try := func(when string, want error) {
		t.Helper()
		for name, m := range map[string]sasl.Mechanism{
			"SCRAM-SHA-256": saslscram.Auth{User: "carol", Pass: "first"}.AsSha256Mechanism(),
			"SCRAM-SHA-512": saslscram.Auth{User: "carol", Pass: "second"}.AsSha512Mechanism(),
			"PLAIN":         plain.Auth{User: "carol", Pass: "second"}.AsMechanism(),
		} {
			if err := login(m); (err == nil) != (want == nil) || want != nil && !strings.Contains(err.Error(), want.Error()) {
				t.Errorf("%s, %s: %v, want %v", when, name, err, want)
			}
		}
	}
	try("made", nil)
	described, err := admin.DescribeUserSCRAMs(t.Context(), "carol")
	want := []kadm.CredInfo{{Mechanism: kadm.ScramSha256, Iterations: 8192}, {Mechanism: kadm.ScramSha512, Iterations: 4096}}
	if err != nil || !cmp.Equal(want, described["carol"].CredInfos) {
		t.Errorf("described: %+v, %v, want %+v", described, err, want)
	}
	admin.Close()
	brokertest.Stop(t, b)
	b = open()
	try("after a restart", nil)

	admin = kadm.NewClient(brokertest.Client(t, b))
	if _, err := admin.AlterUserSCRAMs(t.Context(), []kadm.DeleteSCRAM{{User: "carol", Mechanism: kadm.ScramSha256}, {User: "carol", Mechanism: kadm.ScramSha512}}, nil); err != nil {
		t.Fatal(err)
	}
	try("deleted", kerr.SaslAuthenticationFailed)
	all, err := admin.DescribeUserSCRAMs(t.Context())
	if got := all.Sorted(); err != nil || len(got) != 2 || got[0].User != alice || got[1].User != bob {
		t.Errorf("all users: %+v, %v", got, err)
	}
}

func TestAlterUserScramCredentialsRefuses(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		upsert := func(name string, m int8, iterations int32, salted, salt int) kmsg.AlterUserSCRAMCredentialsRequestUpsertion {
			u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
			u.Name, u.Mechanism, u.Iterations, u.SaltedPassword, u.Salt = name, m, iterations, make([]byte, salted), make([]byte, salt)
			return u
		}
		req := at(0, kmsg.NewPtrAlterUserSCRAMCredentialsRequest())
		del := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
		del.Name, del.Mechanism = "nobody", 1
		req.Deletions = append(req.Deletions, del)
		req.Upsertions = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{
			upsert("good", 2, 4096, 64, 10),
			upsert("", 2, 4096, 64, 10),
			upsert("mechanism", 9, 4096, 64, 10),
			upsert("few", 1, 4095, 32, 10),
			upsert("many", 1, 16385, 32, 10),
			upsert("short", 2, 4096, 32, 10),
			upsert("unsalted", 1, 4096, 32, 0),
			upsert("twice", 1, 4096, 32, 10), upsert("twice", 1, 8192, 32, 10),
			upsert("half", 1, 4096, 32, 10), upsert("half", 2, 1, 64, 10),
			upsert("nobody", 2, 4096, 64, 10), // its deletion fails
		}
		got := map[string]int16{}
		for _, res := range do[*kmsg.AlterUserSCRAMCredentialsResponse](r, req).Results {
			got[res.User] = res.ErrorCode
			if (res.ErrorCode == 0) != (res.ErrorMessage == nil) {
				t.Errorf("%s: error %d, %s", res.User, res.ErrorCode, text(res.ErrorMessage))
			}
		}
		bad := kerr.UnacceptableCredential.Code
		want := map[string]int16{
			"good": 0, "": bad, "mechanism": kerr.UnsupportedSaslMechanism.Code, "few": bad, "many": bad, "short": bad, "unsalted": bad,
			"twice": kerr.DuplicateResource.Code, "half": bad, "nobody": kerr.ResourceNotFound.Code,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("errors (-want +got):\n%s", diff)
		}
		ask := at(0, kmsg.NewPtrDescribeUserSCRAMCredentialsRequest())
		if got := do[*kmsg.DescribeUserSCRAMCredentialsResponse](r, ask).Results; len(got) != 1 || got[0].User != "good" || got[0].CredentialInfos[0].Iterations != 4096 {
			t.Errorf("users: %+v, want the good one only", got)
		}
		for _, name := range []string{"good", "missing", "good", "twice", "twice"} {
			u := kmsg.NewDescribeUserSCRAMCredentialsRequestUser()
			u.Name = name
			ask.Users = append(ask.Users, u)
		}
		codes := map[string]int16{}
		for _, res := range do[*kmsg.DescribeUserSCRAMCredentialsResponse](r, ask).Results {
			codes[res.User] = res.ErrorCode
		}
		twice := kerr.DuplicateResource.Code
		if diff := cmp.Diff(map[string]int16{"good": twice, "twice": twice, "missing": kerr.ResourceNotFound.Code}, codes); diff != "" {
			t.Errorf("described (-want +got):\n%s", diff)
		}
	})
}

// The configuration makes users once: a password that was changed since stays.
func TestConfiguredUsersKeepTheirPassword(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	open := func(password broker.Secret) *broker.Broker {
		return brokertest.Start(t, brokertest.FS(fsys), brokertest.With(secured), brokertest.With(func(c *broker.Config) {
			c.SASL.Users = []broker.User{{Name: alice, Password: password}}
		}))
	}
	b := open("first")
	dial(t, b, "tcp").mustLogin(alice, "first")
	brokertest.Stop(t, b)
	b = open("second")
	dial(t, b, "memory").mustLogin(alice, "first")
	if code := dial(t, b, "tcp").login(2, "PLAIN", alice, "second").ErrorCode; code == 0 {
		t.Error("a restart changed a password")
	}
}

func TestSASLConfigRefuses(t *testing.T) {
	t.Parallel()
	_, err := broker.Start(broker.Config{FS: vfs.NewMem(), SASL: broker.SASLConfig{
		Mechanisms: []string{"GSSAPI"}, Iterations: 100, FailureDelay: -1, MaxLoginsPerSecond: -1, MaxReauth: -1,
		Users: []broker.User{{"", "x"}, {alice, ""}, {alice, "hunter2"}},
	}})
	if err == nil {
		t.Fatal("started")
	}
	for _, want := range []string{
		`"GSSAPI" is not one of SCRAM-SHA-512, SCRAM-SHA-256, PLAIN`, "Iterations is 100, want 4096 to 16384", "FailureDelay", "MaxLoginsPerSecond",
		"MaxReauth", "user 1", `the password of "alice" is empty`, `"alice" stands there twice`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v shows a password", err)
	}
	_, err = broker.Start(broker.Config{FS: vfs.NewMem(), Listen: []string{"kerberos://127.0.0.1:0", "sasl_plaintext://0.0.0.0:0"}})
	if err == nil || !strings.Contains(err.Error(), `no protocol "kerberos", want one of plaintext, sasl_plaintext, ssl, sasl_ssl`) || !strings.Contains(err.Error(), "there is no encryption on it") {
		t.Errorf("bad listeners: %v", err)
	}
}

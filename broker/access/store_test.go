package access

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/quota"
	"github.com/riffle-stream/riffle/broker/scram"
	"github.com/riffle-stream/riffle/broker/statefile"
	"github.com/riffle-stream/riffle/internal/vfs"
	"github.com/riffle-stream/riffle/internal/vfs/faultfs"
)

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatal(args ...any)
}

func open(t failer, fsys vfs.FS) *Store {
	t.Helper()
	s, err := Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// verifier is a verifier with a salt that is always the same.
func verifier(t testing.TB, m scram.Mechanism, password string) scram.Verifier {
	t.Helper()
	v, err := scram.New(m, password, []byte("salt"), scram.MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func set(s *Store, name string, v scram.Verifier) error {
	return s.ChangeUser(name, []scram.Verifier{v}, nil)
}

// Users come and go, and a restart finds what was acknowledged.
func TestCredentials(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, mem)
	if _, ok := s.Verifier(Credential{"alice", scram.SHA256}); ok || len(s.Users()) != 0 {
		t.Error("an empty store has users")
	}
	first, second := verifier(t, scram.SHA256, "one"), verifier(t, scram.SHA512, "two")
	if err := errors.Join(set(s, "alice", second), set(s, "alice", first), set(s, "bob", second)); err != nil {
		t.Fatal(err)
	}
	s = open(t, mem.CrashClone(0, rand.New(rand.NewPCG(1, 1))))
	if diff := cmp.Diff([]string{"alice", "bob"}, s.Users()); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]scram.Verifier{first, second}, s.Verifiers("alice")); diff != "" {
		t.Errorf("verifiers of alice (-want +got):\n%s", diff)
	}
	if v, ok := s.Verifier(Credential{"bob", scram.SHA512}); !ok || !v.Matches("two") {
		t.Errorf("verifier of bob: %v, %v", v, ok)
	}
	if err := s.ChangeUser("bob", nil, []scram.Mechanism{scram.SHA256}); !errors.Is(err, ErrNoCredential) {
		t.Errorf("delete what is not there: %v", err)
	}
	if err := s.ChangeUser("bob", nil, []scram.Mechanism{scram.SHA512}); err != nil || !slices.Equal(s.Users(), []string{"alice"}) {
		t.Errorf("delete the last credential of bob: %v, users %v", err, s.Users())
	}
	for _, name := range []string{"", strings.Repeat("u", MaxNameBytes+1)} {
		if err := set(s, name, first); !errors.Is(err, ErrName) {
			t.Errorf("a name of %d bytes: %v", len(name), err)
		}
	}
	if err := set(s, "carol", scram.Verifier{Mechanism: scram.SHA256}); err == nil {
		t.Error("an empty verifier was taken")
	}
}

var readOrders = acl.Binding{
	Type: acl.Topic, Name: "orders", Pattern: acl.Prefixed, Principal: acl.User("alice"), Host: "*", Operation: acl.Read, Permission: acl.Allow,
}

func TestACLs(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, mem)
	write := readOrders
	write.Operation, write.Permission = acl.Write, acl.Deny
	if err := errors.Join(s.AddACLs(readOrders, write), s.AddACLs(readOrders)); err != nil {
		t.Fatal(err)
	}
	mem = mem.CrashClone(0, rand.New(rand.NewPCG(1, 1)))
	s = open(t, mem)
	if diff := cmp.Diff([]acl.Binding{readOrders, write}, s.ACLs().Bindings()); diff != "" {
		t.Errorf("after a crash (-want +got):\n%s", diff)
	}
	bad := readOrders
	bad.Type = acl.Cluster
	if err := s.AddACLs(write, bad); err == nil {
		t.Error("a binding that means nothing was taken")
	}
	all := acl.Filter{Type: acl.AnyType, Pattern: acl.AnyPattern, Operation: acl.AnyOperation, Permission: acl.AnyPermission}
	writes := all
	writes.Operation = acl.Write
	deleted, err := s.DeleteACLs(writes, all, writes)
	if diff := cmp.Diff([][]acl.Binding{{write}, {readOrders, write}, {write}}, deleted); err != nil || diff != "" {
		t.Errorf("deleted: %v (-want +got):\n%s", err, diff)
	}
	if left := open(t, mem).ACLs().Bindings(); len(left) != 0 || len(s.ACLs().Bindings()) != 0 {
		t.Errorf("left: %v, on disk %v", s.ACLs().Bindings(), left)
	}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, mem)
	alice, others := quota.Entity{User: quota.Named("alice"), ClientID: quota.Default}, quota.Entity{ClientID: quota.Default}
	limits := quota.Limits{quota.Produce: 1.5, quota.Fetch: 2, quota.Request: 0.5}
	if err := errors.Join(s.SetQuota(alice, limits), s.SetQuota(others, limits)); err != nil {
		t.Fatal(err)
	}
	s = open(t, mem)
	if diff := cmp.Diff([]quota.Entity{others, alice}, s.Quotas().Entities()); diff != "" || s.Quotas().Limits(alice) != limits {
		t.Errorf("after a restart: %v (-want +got):\n%s", s.Quotas().Limits(alice), diff)
	}
	if err := s.SetQuota(others, quota.Limits{}); err != nil || s.Quotas().Len() != 1 {
		t.Errorf("removed: %v, %d are left", err, s.Quotas().Len())
	}
	if s.SetQuota(quota.Entity{}, limits) == nil || s.SetQuota(alice, quota.Limits{-1}) == nil {
		t.Error("what makes no sense was taken")
	}
}

// The machine may lose power at any operation: the store then holds what it held
// before the change or after it.
func TestCrashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		mem := vfs.NewMem()
		faulty := faultfs.New(mem)
		s := open(t, faulty)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		v := scram.Verifier{Mechanism: scram.SHA256, Salt: []byte("s"), Iterations: 4096, StoredKey: make([]byte, 32), ServerKey: make([]byte, 32)}
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			before := s.Users()
			var crashed [][]string
			faulty.Hook(func(op faultfs.Op) error {
				if slices.Contains(faultfs.Mutating(), op.Kind) {
					percent := rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "percent")
					crashed = append(crashed, open(t, mem.CrashClone(percent, rng)).Users())
				}
				return nil
			})
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "user")
			err := s.ChangeUser(name, nil, []scram.Mechanism{scram.SHA256})
			if errors.Is(err, ErrNoCredential) {
				err = set(s, name, v)
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(crashed) < 4 {
				t.Fatalf("%d operations on the disk: the test sees too few", len(crashed))
			}
			for i, got := range crashed {
				if !slices.Equal(got, before) && !slices.Equal(got, s.Users()) {
					t.Fatalf("crash before operation %d: %v, want %v or %v", i, got, before, s.Users())
				}
			}
		}
	})
}

// A failed write changes nothing; one whose outcome is open ends all changes.
func TestFailures(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("disk")
	for _, kind := range []faultfs.Kind{faultfs.Create, faultfs.Write, faultfs.Sync, faultfs.Rename, faultfs.SyncDir} {
		faulty := faultfs.New(vfs.NewMem())
		s := open(t, faulty)
		v := verifier(t, scram.SHA256, "p")
		if err := set(s, "kept", v); err != nil {
			t.Fatal(err)
		}
		faulty.Inject(faultfs.Fault{Kinds: []faultfs.Kind{kind}, Err: errDisk})
		if err := set(s, "alice", v); !errors.Is(err, errDisk) || !slices.Equal(s.Users(), []string{"kept"}) {
			t.Errorf("%s: %v, users %v", kind, err, s.Users())
		}
		fenced := kind == faultfs.Rename || kind == faultfs.SyncDir
		if err := set(s, "bob", v); errors.Is(err, ErrFenced) != fenced || (err == nil) == fenced {
			t.Errorf("%s, the next change: %v, fenced should be %v", kind, err, fenced)
		}
	}
}

// Each flip and cut of the file is found, and what is wrong in a sound file, too.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	st := newState()
	st.users["alice"] = user{scram.SHA256: verifier(t, scram.SHA256, "p")}
	st.acls = acl.NewSet([]acl.Binding{readOrders})
	st.quotas = quota.NewTable(map[quota.Entity]quota.Limits{{User: quota.Named("alice")}: {quota.Produce: 1 << 20}})
	body, err := encode(st)
	if err != nil {
		t.Fatal(err)
	}
	good := fileSpec.Seal(body)
	refuse := func(what string, b []byte, want string) {
		t.Helper()
		mem := vfs.NewMem()
		f, err := mem.Create("access")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
		var refused *statefile.Error
		if _, err := Open(mem); !errors.As(err, &refused) || refused.Remedy == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with a remedy that says %q", what, err, want)
		}
	}
	for i := range good {
		refuse("cut", good[:i], "")
		b := slices.Clone(good)
		b[i] ^= 1 << (i % 8)
		refuse("flip", b, "")
	}
	edit := func(old, new string) []byte {
		return fileSpec.Seal([]byte(strings.ReplaceAll(string(body), old, new)))
	}
	refuse("mechanism", edit("SCRAM-SHA-256", "MD5"), `unknown mechanism "MD5"`)
	refuse("key of another mechanism", edit("SCRAM-SHA-256", "SCRAM-SHA-512"), "bad credential")
	refuse("iterations", edit("4096", "1"), "iterations out of range")
	refuse("no name", edit("alice", ""), "bad user name")
	refuse("unknown member", edit(`"users"`, `"usurpers"`), "unknown object member")
	refuse("operation", edit("Read", "Reed"), `no operation "Reed"`)
	refuse("binding that means nothing", edit(`"Topic"`, `"Cluster"`), "a Cluster has no operation Read")
	refuse("rate", edit("1048576", "-1"), "producer_byte_rate is -1")
	refuse("nobody's quota", edit(`"user": "alice",`, ""), "neither a user nor a client id")
	refuse("later format", []byte(strings.Replace(string(good), " 1 ", " 2 ", 1)), "format version 2")
}

func sameACLs(a, b *acl.Set) bool { return slices.Equal(a.Bindings(), b.Bindings()) }

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"users":[{"name":"a","credentials":[{"mechanism":"SCRAM-SHA-256","iterations":4096,"salt":"c2FsdA==","storedKey":"","serverKey":""}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := decode(b)
		if err != nil {
			return
		}
		again, err := encode(st)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(st, back, cmp.AllowUnexported(state{}), cmp.Comparer(sameACLs), cmp.AllowUnexported(quota.Table{})); diff != "" {
			t.Errorf("written and read again (-want +got):\n%s", diff)
		}
	})
}

package access

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/quota"
	"github.com/riffle-stream/riffle/broker/scram"
	"github.com/riffle-stream/riffle/broker/statefile"
)

// The file, version 1: one line of text, then JSON (docs/format/access.md).
var fileSpec = statefile.Spec{
	Name: "access", Kind: "access file", Magic: "riffle-access", Version: 1,
	MaxBytes: 64 << 20, // far more than all limits together
	Restore:  "restore it from a backup, or remove it: then there are no ACLs, and no users but those that the configuration makes",
}

type fileCredential struct {
	Mechanism  string `json:"mechanism"`
	Iterations int    `json:"iterations"`
	Salt       []byte `json:"salt"`
	StoredKey  []byte `json:"storedKey"`
	ServerKey  []byte `json:"serverKey"`
}

type fileUser struct {
	Name        string           `json:"name"`
	Credentials []fileCredential `json:"credentials"`
}

type fileACL struct {
	Type       acl.ResourceType `json:"type"`
	Name       string           `json:"name"`
	Pattern    acl.Pattern      `json:"pattern"`
	Principal  string           `json:"principal"`
	Host       string           `json:"host"`
	Operation  acl.Operation    `json:"operation"`
	Permission acl.Permission   `json:"permission"`
}

// fileQuota is the limits of one entity. A name that is left out is the default if that
// is said, and otherwise open.
type fileQuota struct {
	User            string  `json:"user,omitempty"`
	DefaultUser     bool    `json:"defaultUser,omitempty"`
	ClientID        string  `json:"clientId,omitempty"`
	DefaultClientID bool    `json:"defaultClientId,omitempty"`
	Produce         float64 `json:"producerByteRate,omitempty"`
	Fetch           float64 `json:"consumerByteRate,omitempty"`
	Request         float64 `json:"requestPercentage,omitempty"`
}

type fileBody struct {
	Users []fileUser `json:"users,omitempty"`
	ACLs  []fileACL  `json:"acls,omitempty"`

	Quotas []fileQuota `json:"quotas,omitempty"`
}

// encode returns the body of the file. Equal states have equal bytes.
func encode(st *state) ([]byte, error) {
	var body fileBody
	for _, name := range slices.Sorted(maps.Keys(st.users)) {
		fu := fileUser{Name: name}
		for _, m := range slices.Sorted(maps.Keys(st.users[name])) {
			v := st.users[name][m]
			fu.Credentials = append(fu.Credentials, fileCredential{m.String(), v.Iterations, v.Salt, v.StoredKey, v.ServerKey})
		}
		body.Users = append(body.Users, fu)
	}
	for _, b := range st.acls.Bindings() {
		body.ACLs = append(body.ACLs, fileACL(b))
	}
	for _, e := range st.quotas.Entities() {
		l := st.quotas.Limits(e)
		body.Quotas = append(body.Quotas, fileQuota{
			e.User.Name, e.User.Default, e.ClientID.Name, e.ClientID.Default, l[quota.Produce], l[quota.Fetch], l[quota.Request],
		})
	}
	text, err := json.Marshal(body, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("access: encode: %w", err)
	}
	return append(text, '\n'), nil
}

// decode reads the body of the file and checks all that is in it.
func decode(text []byte) (*state, error) {
	var body fileBody
	if err := json.Unmarshal(text, &body, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	st := newState()
	for _, fu := range body.Users {
		if err := ValidateName(fu.Name); err != nil {
			return nil, err
		}
		u := user{}
		for _, c := range fu.Credentials {
			m, ok := scram.ParseMechanism(c.Mechanism)
			if !ok {
				return nil, fmt.Errorf("user %q: unknown mechanism %q", fu.Name, c.Mechanism)
			}
			v := scram.Verifier{Mechanism: m, Salt: c.Salt, Iterations: c.Iterations, StoredKey: c.StoredKey, ServerKey: c.ServerKey}
			if err := v.Validate(); err != nil {
				return nil, fmt.Errorf("user %q: %w", fu.Name, err)
			}
			u[m] = v
		}
		if _, twice := st.users[fu.Name]; twice || len(u) == 0 || len(u) != len(fu.Credentials) {
			return nil, fmt.Errorf("user %q stands there twice, or has no credential, or two of one mechanism", fu.Name)
		}
		st.users[fu.Name] = u
	}
	if len(st.users) > MaxUsers {
		return nil, fmt.Errorf("%w: %d users", ErrTooMany, len(st.users))
	}
	var bindings []acl.Binding
	for _, a := range body.ACLs {
		b := acl.Binding(a)
		if err := b.Validate(); err != nil {
			return nil, err
		}
		bindings = append(bindings, b)
	}
	if len(bindings) > MaxACLs {
		return nil, fmt.Errorf("%w: %d ACLs", ErrTooMany, len(bindings))
	}
	st.acls = acl.NewSet(bindings)
	limits := map[quota.Entity]quota.Limits{}
	for _, q := range body.Quotas {
		e := quota.Entity{User: quota.Part{Name: q.User, Default: q.DefaultUser}, ClientID: quota.Part{Name: q.ClientID, Default: q.DefaultClientID}}
		l := quota.Limits{quota.Produce: q.Produce, quota.Fetch: q.Fetch, quota.Request: q.Request}
		if err := errors.Join(e.Validate(), l.Validate()); err != nil {
			return nil, err
		}
		limits[e] = l
	}
	if st.quotas = quota.NewTable(limits); len(body.Quotas) > MaxQuotas || st.quotas.Len() != len(body.Quotas) {
		return nil, fmt.Errorf("%d quotas, at most %d are kept, and each entity stands there once", len(body.Quotas), MaxQuotas)
	}
	return st, nil
}

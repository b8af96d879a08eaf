package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	saslscram "github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// A foreign administrator allows and denies by prefix, wildcard and host, in all
// versions; it holds from the next request on, and after a restart.
func TestACLsOfAForeignClient(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	b := brokertest.Start(t, brokertest.FS(fsys), brokertest.With(secured))
	client := func(user, password string) *kgo.Client {
		return tcpClient(t, b, kgo.SASL(saslscram.Auth{User: user, Pass: password}.AsSha512Mechanism()), kgo.MetadataMinAge(10e6))
	}
	admin := kadm.NewClient(client(alice, alicesPassword))
	if _, err := admin.CreateTopics(t.Context(), 1, 1, nil, "payments-in", "payments-archive"); err != nil {
		t.Fatal(err)
	}
	write := func(topic string) error {
		cl := client(bob, bobsPassword)
		defer cl.Close()
		return cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr()
	}
	denied := func(when, topic string) {
		t.Helper()
		if err := write(topic); err == nil || !strings.Contains(err.Error(), kerr.TopicAuthorizationFailed.Message) {
			t.Errorf("%s, write to %s: %v, want it denied", when, topic, err)
		}
	}
	allowed := func(when, topic string) {
		t.Helper()
		if err := write(topic); err != nil {
			t.Errorf("%s, write to %s: %v", when, topic, err)
		}
	}
	denied("without ACLs", "payments-in")
	allow := kadm.NewACLs().Topics("payments-").ResourcePatternType(kadm.ACLPatternPrefixed).Allow("User:bob").AllowHosts("127.0.0.1").Operations(kadm.OpWrite)
	deny := kadm.NewACLs().Topics("payments-archive").ResourcePatternType(kadm.ACLPatternLiteral).Deny("User:*").DenyHosts().Operations(kadm.OpAll)
	for _, acls := range []*kadm.ACLBuilder{allow, deny} {
		results, err := admin.CreateACLs(t.Context(), acls)
		if err != nil || results[0].Err != nil {
			t.Fatalf("create ACLs: %v, %+v", err, results)
		}
	}
	allowed("with an ACL", "payments-in")
	denied("with a denial", "payments-archive")
	brokertest.Stop(t, b)
	b = brokertest.Start(t, brokertest.FS(fsys), brokertest.With(secured))
	allowed("after a restart", "payments-in")
	denied("after a restart", "payments-archive")
	admin = kadm.NewClient(client(alice, alicesPassword))
	described, err := admin.DescribeACLs(t.Context(), allow)
	if err != nil || len(described) != 1 || len(described[0].Described) != 1 || described[0].Described[0].Host != "127.0.0.1" {
		t.Errorf("describe ACLs: %v, %+v", err, described)
	}
	deleted, err := admin.DeleteACLs(t.Context(), allow)
	if err != nil || len(deleted) != 1 || len(deleted[0].Deleted) != 1 {
		t.Errorf("delete ACLs: %v, %+v", err, deleted)
	}
	denied("deleted", "payments-in")
}

// What nobody can be allowed, or what no filter can mean, is refused.
func TestACLsRefuse(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) {
			c.Authorization.Required, c.Authorization.SuperUsers = true, []string{"User:ANONYMOUS"}
		}))
		for v := int16(1); v <= 3; v++ {
			req := at(v, kmsg.NewPtrCreateACLsRequest())
			add := func(change func(*kmsg.CreateACLsRequestCreation)) {
				c := creation(onTopic(acl.Read, fmt.Sprint("orders-", v)), "bob")
				change(&c)
				req.Creations = append(req.Creations, c)
			}
			add(func(*kmsg.CreateACLsRequestCreation) {})
			add(func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType = kmsg.ACLResourceTypeUser })
			add(func(c *kmsg.CreateACLsRequestCreation) { c.ResourceType = kmsg.ACLResourceTypeDelegationToken })
			add(func(c *kmsg.CreateACLsRequestCreation) { c.Operation = kmsg.ACLOperationClusterAction })
			add(func(c *kmsg.CreateACLsRequestCreation) { c.Operation = kmsg.ACLOperationAny })
			add(func(c *kmsg.CreateACLsRequestCreation) { c.PermissionType = kmsg.ACLPermissionTypeAny })
			add(func(c *kmsg.CreateACLsRequestCreation) { c.ResourcePatternType = kmsg.ACLResourcePatternTypeMatch })
			add(func(c *kmsg.CreateACLsRequestCreation) { c.ResourceName = "" })
			add(func(c *kmsg.CreateACLsRequestCreation) { c.Principal = "bob" })
			add(func(c *kmsg.CreateACLsRequestCreation) { c.Principal = "Group:bob" })
			add(func(c *kmsg.CreateACLsRequestCreation) { c.Host = "" })
			for i, res := range do[*kmsg.CreateACLsResponse](r, req).Results {
				want := kerr.InvalidRequest.Code
				if i == 0 {
					want = 0
				}
				if res.ErrorCode != want {
					t.Errorf("v%d, %+v: error %d, %s", v, req.Creations[i], res.ErrorCode, text(res.ErrorMessage))
				}
			}
			if got := do[*kmsg.DescribeACLsResponse](r, allACLs(v)).Resources; len(got) != int(v) {
				t.Errorf("v%d: %+v, want %d resources", v, got, v)
			}
			for name, change := range map[string]func(*kmsg.DescribeACLsRequest){
				"type":       func(q *kmsg.DescribeACLsRequest) { q.ResourceType = 0 },
				"pattern":    func(q *kmsg.DescribeACLsRequest) { q.ResourcePatternType = 9 },
				"operation":  func(q *kmsg.DescribeACLsRequest) { q.Operation = 0 },
				"permission": func(q *kmsg.DescribeACLsRequest) { q.PermissionType = 0 },
			} {
				bad := allACLs(v)
				change(bad)
				if code := do[*kmsg.DescribeACLsResponse](r, bad).ErrorCode; code != kerr.InvalidRequest.Code {
					t.Errorf("v%d, bad %s: error %d", v, name, code)
				}
			}
			tokens := allACLs(v)
			tokens.ResourceType = kmsg.ACLResourceTypeDelegationToken
			if resp := do[*kmsg.DescribeACLsResponse](r, tokens); resp.ErrorCode != 0 || len(resp.Resources) != 0 {
				t.Errorf("v%d, ACLs of tokens: %+v, want none", v, resp)
			}
		}
	})
}

// Where nobody is asked for permissions the three answer so, as in Kafka, and
// authorized operations are all there are.
func TestNoAuthorizer(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		disabled := kerr.SecurityDisabled.Code
		if code := do[*kmsg.DescribeACLsResponse](r, allACLs(2)).ErrorCode; code != disabled {
			t.Errorf("describe: error %d", code)
		}
		create := at(2, kmsg.NewPtrCreateACLsRequest())
		create.Creations = append(create.Creations, creation(onTopic(acl.Read, "orders"), "bob"))
		del := at(2, kmsg.NewPtrDeleteACLsRequest())
		del.Filters = append(del.Filters, kmsg.NewDeleteACLsRequestFilter())
		if a, b := do[*kmsg.CreateACLsResponse](r, create).Results[0].ErrorCode, do[*kmsg.DeleteACLsResponse](r, del).Results[0].ErrorCode; a != disabled || b != disabled {
			t.Errorf("create: error %d, delete: error %d", a, b)
		}
		got := authorizedOperations(r)
		want := operations{Topic: 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11, Cluster: 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12, Group: 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("authorized operations (-want +got):\n%s", diff)
		}
	})
}

// operations are bit fields, by what they are of.
type operations struct{ Topic, Cluster, Group int32 }

// authorizedOperations asks in all ways that there are for those of topic "orders",
// the cluster, and group "readers", and checks that they agree.
func authorizedOperations(r *raw) operations {
	r.t.Helper()
	meta := at(9, kmsg.NewPtrMetadataRequest())
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = strptr("orders")
	meta.Topics = append(meta.Topics, rt)
	if resp := do[*kmsg.MetadataResponse](r, meta); resp.AuthorizedOperations != -1<<31 || resp.Topics[0].AuthorizedOperations != -1<<31 {
		r.t.Errorf("operations that nobody asked for: %+v", resp)
	}
	meta.IncludeClusterAuthorizedOperations, meta.IncludeTopicAuthorizedOperations = true, true
	resp := do[*kmsg.MetadataResponse](r, meta)
	cluster := at(2, kmsg.NewPtrDescribeClusterRequest())
	cluster.IncludeClusterAuthorizedOperations = true
	if got := do[*kmsg.DescribeClusterResponse](r, cluster).ClusterAuthorizedOperations; got != resp.AuthorizedOperations {
		r.t.Errorf("DescribeCluster says %b, Metadata %b", got, resp.AuthorizedOperations)
	}
	partitions := at(0, kmsg.NewPtrDescribeTopicPartitionsRequest())
	pt := kmsg.NewDescribeTopicPartitionsRequestTopic()
	pt.Topic = "orders"
	partitions.Topics = append(partitions.Topics, pt)
	if got := do[*kmsg.DescribeTopicPartitionsResponse](r, partitions).Topics[0].AuthorizedOperations; got != resp.Topics[0].AuthorizedOperations {
		r.t.Errorf("DescribeTopicPartitions says %b, Metadata %b", got, resp.Topics[0].AuthorizedOperations)
	}
	commit := at(2, kmsg.NewPtrOffsetCommitRequest())
	commit.Group, commit.Generation = "readers", -1
	ct := kmsg.NewOffsetCommitRequestTopic()
	ct.Topic = "orders"
	ct.Partitions = append(ct.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
	commit.Topics = append(commit.Topics, ct)
	do[*kmsg.OffsetCommitResponse](r, commit)
	group := at(5, kmsg.NewPtrDescribeGroupsRequest())
	group.Groups, group.IncludeAuthorizedOperations = []string{"readers"}, true
	return operations{resp.Topics[0].AuthorizedOperations, resp.AuthorizedOperations, do[*kmsg.DescribeGroupsResponse](r, group).Groups[0].AuthorizedOperations}
}

func TestAuthorizedOperations(t *testing.T) {
	t.Parallel()
	fx := newFixture(t)
	fx.grant(t, []permission{onTopic(acl.Read, "orders"), onTopic(acl.AlterConfigs, "orders"), onGroup(acl.Read), onGroup(acl.Delete)})
	want := operations{Topic: 1<<3 | 1<<8 | 1<<10 | 1<<11, Group: 1<<3 | 1<<6 | 1<<8}
	if diff := cmp.Diff(want, authorizedOperations(fx.admin.again().mustLogin(bob, bobsPassword))); diff != "" {
		t.Errorf("who may not describe the cluster (-want +got):\n%s", diff)
	}
	fx.grant(t, []permission{onTopic(acl.Write, "orders"), onGroup(acl.Describe), onCluster(acl.Alter)})
	want = operations{Topic: 1<<4 | 1<<8, Cluster: 1<<7 | 1<<8, Group: 1 << 8}
	if diff := cmp.Diff(want, authorizedOperations(fx.admin.again().mustLogin(bob, bobsPassword))); diff != "" {
		t.Errorf("who may (-want +got):\n%s", diff)
	}
}

// Authentication anywhere means permissions everywhere: also on a listener that does
// not ask who its clients are. Those of this process are its owner's.
func TestAuthenticationNeedsPermissions(t *testing.T) {
	t.Parallel()
	book := newLogBook()
	b := brokertest.Start(t, book.option(), brokertest.With(secured), brokertest.With(func(c *broker.Config) {
		c.Listen = append([]string{"127.0.0.1:0"}, c.Listen...)
		c.SASL.Dial, c.Authorization.SuperUsers = false, nil
	}))
	open := dial(t, b, "tcp")
	if code := do[*kmsg.CreateTopicsResponse](open, at(7, createRequest("orders", 1))).Topics[0].ErrorCode; code != kerr.TopicAuthorizationFailed.Code {
		t.Errorf("create a topic without a login: error %d", code)
	}
	dial(t, b, "memory").create("orders", 1)
	if !strings.Contains(book.String(), "nobody may do anything; name a user in Authorization.SuperUsers (--super-users") {
		t.Errorf("the log does not say that there is no administrator:\n%s", book)
	}
	_, err := broker.Start(broker.Config{FS: vfs.NewMem(), Authorization: broker.AuthorizationConfig{SuperUsers: []string{"admin"}}})
	if err == nil || !strings.Contains(err.Error(), `"admin" is not User:name`) {
		t.Errorf("a super user without a type: %v", err)
	}
}

// A topic is made for who asks for it only if it may be made.
func TestAutoCreationIsAuthorized(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.With(secured), brokertest.With(func(c *broker.Config) { c.AutoCreateTopics = true }))
	fx := &fixture{admin: dial(t, b, "memory").mustLogin(alice, alicesPassword)}
	ask := func() int16 {
		req := at(4, kmsg.NewPtrMetadataRequest())
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic, req.AllowAutoTopicCreation = strptr("new"), true
		req.Topics = append(req.Topics, rt)
		return do[*kmsg.MetadataResponse](fx.admin.again().mustLogin(bob, bobsPassword), req).Topics[0].ErrorCode
	}
	for _, tc := range []struct {
		permissions []permission
		want        int16
	}{
		{[]permission{onTopic(acl.Create, "new")}, kerr.TopicAuthorizationFailed.Code}, // it may not see it
		{[]permission{onTopic(acl.Describe, "new")}, kerr.TopicAuthorizationFailed.Code},
		{[]permission{onTopic(acl.Describe, "new"), onTopic(acl.Create, "new")}, 0},
	} {
		fx.grant(t, tc.permissions)
		if got := ask(); got != tc.want {
			t.Errorf("with %+v: error %d, want %d", tc.permissions, got, tc.want)
		}
	}
}

// Who may write to some topic may be an idempotent producer (KIP-679).
func TestIdempotentByWrite(t *testing.T) {
	t.Parallel()
	fx := newFixture(t)
	fx.grant(t, []permission{onTopic(acl.Write, "elsewhere")})
	if code := do[*kmsg.InitProducerIDResponse](fx.admin.again().mustLogin(bob, bobsPassword), initRequest(4, "")).ErrorCode; code != 0 {
		t.Errorf("error %d", code)
	}
}

package broker_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/brokertest"
)

// permission is what a request takes, and the error without it.
type permission struct {
	op   acl.Operation
	typ  acl.ResourceType
	name string
	code *kerr.Error
}

func onTopic(op acl.Operation, name string) permission {
	return permission{op, acl.Topic, name, kerr.TopicAuthorizationFailed}
}

func onGroup(op acl.Operation) permission {
	return permission{op, acl.Group, "readers", kerr.GroupAuthorizationFailed}
}

func onCluster(op acl.Operation) permission {
	return permission{op, acl.Cluster, acl.ClusterName, kerr.ClusterAuthorizationFailed}
}

func onTxn(op acl.Operation) permission {
	return permission{op, acl.TransactionalID, "mover", kerr.TransactionalIDAuthorizationFailed}
}

// ruled is one request and what it takes. An API key has at least one.
type ruled struct {
	what     string
	min, max int16 // versions; both 0: all
	needs    []permission
	hides    string // without the permission the answer has no error, but does not name this
	changes  bool   // with the permission something is different afterwards
	free     bool   // nothing is needed
	login    bool   // it is how clients log in, and is tested by a login
	request  func(v int16, fx *fixture) kmsg.Request
}

// fixture is what there is to be allowed: the topic "orders" with a record, the group
// "readers" with an offset, and an open transaction of "mover".
type fixture struct {
	admin    *raw
	orders   [16]byte
	producer int64
	epoch    int16
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	b := brokertest.Start(t, brokertest.With(secured))
	fx := &fixture{admin: dial(t, b, "memory").mustLogin(alice, alicesPassword)}
	fx.orders = fx.admin.create("orders", 2)
	if p := fx.admin.produce("orders", batch(1, "a")); p.ErrorCode != 0 {
		t.Fatalf("produce: error %d", p.ErrorCode)
	}
	commit := do[*kmsg.OffsetCommitResponse](fx.admin, fx.offsetCommit(9))
	if code := commit.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatalf("commit: error %d", code)
	}
	init := do[*kmsg.InitProducerIDResponse](fx.admin, initRequest(2, "mover"))
	fx.producer, fx.epoch = init.ProducerID, init.ProducerEpoch
	add := do[*kmsg.AddPartitionsToTxnResponse](fx.admin, fx.addPartitions(3, 0))
	if code := add.Topics[0].Partitions[0].ErrorCode; init.ErrorCode != 0 || code != 0 {
		t.Fatalf("begin a transaction: errors %d, %d", init.ErrorCode, code)
	}
	return fx
}

func initRequest(v int16, id string) *kmsg.InitProducerIDRequest {
	req := at(v, kmsg.NewPtrInitProducerIDRequest())
	if req.TransactionTimeoutMillis = 60_000; id != "" {
		req.TransactionalID = &id
	}
	return req
}

func (fx *fixture) addPartitions(v int16, partition int32) *kmsg.AddPartitionsToTxnRequest {
	req := at(v, kmsg.NewPtrAddPartitionsToTxnRequest())
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = "mover", fx.producer, fx.epoch
	rt := kmsg.NewAddPartitionsToTxnRequestTopic()
	rt.Topic, rt.Partitions = "orders", []int32{partition}
	req.Topics = append(req.Topics, rt)
	tx := kmsg.NewAddPartitionsToTxnRequestTransaction()
	tx.TransactionalID, tx.ProducerID, tx.ProducerEpoch = "mover", fx.producer, fx.epoch
	txt := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
	txt.Topic, txt.Partitions = "orders", []int32{partition}
	tx.Topics = append(tx.Topics, txt)
	req.Transactions = append(req.Transactions, tx)
	return req
}

func (fx *fixture) offsetCommit(v int16) *kmsg.OffsetCommitRequest {
	req := at(v, kmsg.NewPtrOffsetCommitRequest())
	req.Group, req.Generation = "readers", -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = "orders", fx.orders
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Partition, rp.Offset = 0, int64(100+v)
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// world is all that a request could change, as the administrator sees it.
func (fx *fixture) world() string {
	r := fx.admin
	var out strings.Builder
	show := func(resp kmsg.Response) { fmt.Fprintf(&out, "%x\n", resp.AppendTo(nil)) }
	meta := do[*kmsg.MetadataResponse](r, at(9, kmsg.NewPtrMetadataRequest()))
	show(meta)
	configs := at(4, kmsg.NewPtrDescribeConfigsRequest())
	lists := [2]*kmsg.ListOffsetsRequest{at(7, kmsg.NewPtrListOffsetsRequest()), at(7, kmsg.NewPtrListOffsetsRequest())}
	lists[1].IsolationLevel = 1
	for _, t := range meta.Topics {
		if t.IsInternal {
			continue // coordinators write there; what they say shows below
		}
		rr := kmsg.NewDescribeConfigsRequestResource()
		rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, *t.Topic
		configs.Resources = append(configs.Resources, rr)
		for i, when := range []int64{-2, -1} {
			rt := kmsg.NewListOffsetsRequestTopic()
			rt.Topic = *t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewListOffsetsRequestTopicPartition()
				rp.Partition, rp.Timestamp = p.Partition, when
				rt.Partitions = append(rt.Partitions, rp)
			}
			lists[i].Topics = append(lists[i].Topics, rt)
		}
	}
	show(do[*kmsg.DescribeConfigsResponse](r, configs))
	for _, l := range lists {
		show(do[*kmsg.ListOffsetsResponse](r, l))
		for i := range l.Topics {
			for j := range l.Topics[i].Partitions {
				l.Topics[i].Partitions[j].Timestamp = -1
			}
		}
		show(do[*kmsg.ListOffsetsResponse](r, l))
	}
	show(do[*kmsg.ListGroupsResponse](r, at(5, kmsg.NewPtrListGroupsRequest())))
	fetch := at(6, kmsg.NewPtrOffsetFetchRequest())
	fetch.Group = "readers"
	show(do[*kmsg.OffsetFetchResponse](r, fetch))
	show(do[*kmsg.ListTransactionsResponse](r, at(2, kmsg.NewPtrListTransactionsRequest())))
	tx := at(0, kmsg.NewPtrDescribeTransactionsRequest())
	tx.TransactionalIDs = []string{"mover"}
	show(do[*kmsg.DescribeTransactionsResponse](r, tx))
	producers := at(0, kmsg.NewPtrDescribeProducersRequest())
	pt := kmsg.NewDescribeProducersRequestTopic()
	pt.Topic, pt.Partitions = "orders", []int32{0, 1}
	producers.Topics = append(producers.Topics, pt)
	show(do[*kmsg.DescribeProducersResponse](r, producers))
	show(do[*kmsg.DescribeACLsResponse](r, allACLs(3)))
	show(do[*kmsg.DescribeUserSCRAMCredentialsResponse](r, at(0, kmsg.NewPtrDescribeUserSCRAMCredentialsRequest())))
	show(do[*kmsg.DescribeClientQuotasResponse](r, at(1, kmsg.NewPtrDescribeClientQuotasRequest())))
	return out.String()
}

func allACLs(v int16) *kmsg.DescribeACLsRequest {
	req := at(v, kmsg.NewPtrDescribeACLsRequest())
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Operation, req.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	return req
}

// grant replaces bob's permissions.
func (fx *fixture) grant(t *testing.T, permissions []permission) {
	t.Helper()
	del := at(2, kmsg.NewPtrDeleteACLsRequest())
	rf := kmsg.NewDeleteACLsRequestFilter()
	rf.ResourceType, rf.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	rf.Operation, rf.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	del.Filters = append(del.Filters, rf)
	if code := do[*kmsg.DeleteACLsResponse](fx.admin, del).Results[0].ErrorCode; code != 0 {
		t.Fatalf("delete ACLs: error %d", code)
	}
	if len(permissions) == 0 {
		return
	}
	req := at(2, kmsg.NewPtrCreateACLsRequest())
	for _, p := range permissions {
		req.Creations = append(req.Creations, creation(p, bob))
	}
	for i, res := range do[*kmsg.CreateACLsResponse](fx.admin, req).Results {
		if res.ErrorCode != 0 {
			t.Fatalf("allow %+v: error %d, %s", permissions[i], res.ErrorCode, text(res.ErrorMessage))
		}
	}
}

func creation(p permission, user string) kmsg.CreateACLsRequestCreation {
	c := kmsg.NewCreateACLsRequestCreation()
	c.ResourceType, c.ResourceName, c.ResourcePatternType = kmsg.ACLResourceType(p.typ), p.name, kmsg.ACLResourcePatternTypeLiteral
	c.Principal, c.Host = "User:"+user, "*"
	c.Operation, c.PermissionType = kmsg.ACLOperation(p.op), kmsg.ACLPermissionTypeAllow
	return c
}

// codes are the error codes in a response that are not 0, wherever they stand.
func codes(resp kmsg.Response) []int16 {
	var found []int16
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Field(i); v.Type().Field(i).Name == "ErrorCode" && f.Int() != 0 {
					found = append(found, int16(f.Int()))
				} else if v.Type().Field(i).IsExported() {
					walk(f)
				}
			}
		}
	}
	walk(reflect.ValueOf(resp))
	slices.Sort(found)
	return slices.Compact(found)
}

// ask sends a request and returns the response, of whatever type.
func (r *raw) ask(req kmsg.Request) kmsg.Response {
	r.t.Helper()
	r.send(req)
	return recv[kmsg.Response](r, req)
}

// Each API key that is advertised, in each of its versions: without one of the
// permissions that it takes it is refused with the right error, and nothing has
// changed; with just these it is not.
func TestEveryKeyIsAuthorized(t *testing.T) {
	t.Parallel()
	served := map[int16]kmsg.ApiVersionsResponseApiKey{}
	for _, k := range do[*kmsg.ApiVersionsResponse](dial(t, brokertest.Start(t), "memory"), at(0, kmsg.NewPtrApiVersionsRequest())).ApiKeys {
		served[k.ApiKey] = k
	}
	ruledKeys := map[int16]bool{}
	for _, row := range ruledRequests() {
		key := row.request(0, &fixture{}).Key()
		k, ok := served[key]
		if !ok {
			t.Errorf("%s is not served", kmsg.NameForKey(key))
			continue
		}
		if row.min == 0 && row.max == 0 {
			row.min, row.max = k.MinVersion, k.MaxVersion
		}
		row.min = max(row.min, k.MinVersion)
		if key == int16(kmsg.Produce) {
			row.min = 3 // what is below is advertised only
		}
		ruledKeys[key] = true
		t.Run(kmsg.NameForKey(key)+" "+row.what, func(t *testing.T) {
			t.Parallel()
			row.check(t)
		})
	}
	for key := range served {
		if !ruledKeys[key] {
			t.Errorf("nobody says what %s takes: give it a row here", kmsg.NameForKey(key))
		}
	}
}

func (row ruled) check(t *testing.T) {
	fx := newFixture(t)
	if row.login {
		for v := row.min; v <= row.max; v++ {
			if resp := fx.admin.again().login(v, "PLAIN", bob, bobsPassword); resp.ErrorCode != 0 {
				t.Errorf("v%d: error %d", v, resp.ErrorCode)
			}
		}
		return
	}
	if row.free {
		r := fx.admin.again().mustLogin(bob, bobsPassword)
		for v := row.min; v <= row.max; v++ {
			if got := codes(r.ask(row.request(v, fx))); len(got) > 0 {
				t.Errorf("v%d: errors %v, want none", v, got)
			}
		}
		return
	}
	client := fx.admin.again().mustLogin(bob, bobsPassword)
	for missing := range row.needs {
		fx.grant(t, slices.Delete(slices.Clone(row.needs), missing, missing+1))
		before := fx.world()
		for v := row.min; v <= row.max; v++ {
			resp := client.ask(row.request(v, fx))
			want := []int16{row.needs[missing].code.Code}
			if row.hides != "" {
				want = nil
				if bytes.Contains(resp.AppendTo(nil), []byte(row.hides)) {
					t.Errorf("v%d without %v: the answer shows %q: %+v", v, row.needs[missing], row.hides, resp)
				}
			}
			if got := codes(resp); !slices.Equal(got, want) {
				t.Errorf("v%d without %v: errors %v, want %v: %+v", v, row.needs[missing], got, want, resp)
			}
			if diff := cmp.Diff(before, fx.world()); diff != "" {
				t.Fatalf("v%d without %v has an effect:\n%s", v, row.needs[missing], diff)
			}
		}
	}
	for _, v := range []int16{row.min, row.max} {
		fx := newFixture(t)
		fx.grant(t, row.needs)
		before := fx.world()
		resp := fx.admin.again().mustLogin(bob, bobsPassword).ask(row.request(v, fx))
		for _, code := range codes(resp) {
			switch code {
			case 29, 30, 31, 53, -1:
				t.Errorf("v%d with all that it takes: error %d: %+v", v, code, resp)
			}
		}
		if row.hides != "" && !bytes.Contains(resp.AppendTo(nil), []byte(row.hides)) {
			t.Errorf("v%d with all that it takes: %q is hidden: %+v", v, row.hides, resp)
		}
		if row.changes && before == fx.world() {
			t.Errorf("v%d with all that it takes has no effect: %+v", v, resp)
		}
	}
}

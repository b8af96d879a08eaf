package broker

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/txn"
)

// ListTransactions: v0-2
//
//   - v1: only those that have been open for longer than a time (KIP-994)
//   - v2: only those whose transactional id matches a pattern, wholly (KIP-1152)
func handleListTransactions(b *Broker, _ context.Context, c *conn, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ListTransactionsRequest)
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	resp.TransactionStates = []kmsg.ListTransactionsResponseTransactionState{}
	states := map[txn.State]bool{}
	for _, name := range req.StateFilters {
		if s, ok := txn.ParseState(name); ok {
			states[s] = true
		} else {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, name)
		}
	}
	pattern := regexp.MustCompile("")
	if req.Version >= 2 && req.TransactionalIDPattern != nil && *req.TransactionalIDPattern != "" {
		var err error
		if pattern, err = regexp.Compile("^(?:" + *req.TransactionalIDPattern + ")$"); err != nil {
			resp.ErrorCode = b.metrics.failed(req.Key(), fmt.Errorf("%w: %w", kerr.InvalidRegularExpression, err))
			return resp, nil
		}
	}
	now := time.Now()
	err := b.txns.show(func(t txn.Txn) {
		longer := time.Duration(req.DurationFilterMillis) * time.Millisecond
		switch {
		case len(req.StateFilters) > 0 && !states[t.State],
			len(req.ProducerIDFilters) > 0 && !slices.Contains(req.ProducerIDFilters, t.ProducerID),
			req.Version >= 1 && longer >= 0 && (t.State != txn.Ongoing && !t.Preparing() || now.Sub(t.Start) <= longer),
			!pattern.MatchString(t.ID),
			!c.may(acl.Describe, acl.TransactionalID, t.ID):
			return
		}
		st := kmsg.NewListTransactionsResponseTransactionState()
		st.TransactionalID, st.ProducerID, st.TransactionState = t.ID, t.ProducerID, t.State.String()
		resp.TransactionStates = append(resp.TransactionStates, st)
	})
	if err != nil {
		resp.ErrorCode = b.metrics.failed(req.Key(), err)
	}
	return resp, nil
}

package broker

import (
	"cmp"
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions: v0-4
//
//   - v1: ThrottleMillis
//   - v3: flexible; the client's software name and version
//   - v3: features, see there
//
// A version that is not served is answered in the form of version 0 with
// UNSUPPORTED_VERSION and the range of this key, so that any client can come down
// (KIP-511). The response header is always version 0 (see appendResponseHeader).
func handleApiVersions(b *Broker, _ context.Context, _ *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.ApiVersionsRequest)
	resp := r.ResponseKind().(*kmsg.ApiVersionsResponse)
	if r.Version >= 3 && !(softwareName(r.ClientSoftwareName) && softwareName(r.ClientSoftwareVersion)) {
		resp.ErrorCode = b.metrics.failed(r.Key(), kerr.InvalidRequest)
		return resp, nil
	}
	for _, a := range apis() {
		resp.ApiKeys = append(resp.ApiKeys, apiRange(a))
	}
	slices.SortFunc(resp.ApiKeys, func(a, b kmsg.ApiVersionsResponseApiKey) int { return cmp.Compare(a.ApiKey, b.ApiKey) })
	addFeatures(resp)
	return resp, nil
}

// unsupportedApiVersions is the answer to a version of ApiVersions that is not
// served.
func unsupportedApiVersions(a api) *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = 0
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{apiRange(a)}
	return resp
}

func apiRange(a api) kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = a.key, a.min, a.max
	return k
}

// softwareName checks the name or version of a client by Kafka's pattern
// [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
func softwareName(s string) bool {
	alphanumeric := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	}
	if s == "" || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// upgrade is the type of an update that does not lower a level.
const upgrade = 1

// UpdateFeatures: v0-2, flexible
//
//   - v1: the type of an update in place of AllowDowngrade; ValidateOnly
//   - v2: no results of single features: the first error is the whole request's
//
// The levels of features belong to the release: all are at the highest that there is.
// To set one to where it is changes nothing and is no error, so that tools which
// upgrade a cluster find it upgraded; levels cannot be lowered.
func handleUpdateFeatures(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.UpdateFeaturesRequest)
	resp := r.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	if err := c.authorizeCluster(acl.Alter); err != nil {
		resp.ErrorCode, resp.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		return resp, nil
	}
	named := map[string]bool{}
	for _, u := range r.FeatureUpdates {
		err := checkUpdate(u, r.Version)
		if named[u.Feature] {
			err = fmt.Errorf("%w: feature %.64q is named twice", kerr.InvalidRequest, u.Feature)
		}
		named[u.Feature] = true
		sr := kmsg.NewUpdateFeaturesResponseResult()
		sr.Feature = u.Feature
		sr.ErrorCode, sr.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		if resp.Results = append(resp.Results, sr); r.Version >= 2 && resp.ErrorCode == 0 {
			resp.ErrorCode, resp.ErrorMessage = sr.ErrorCode, sr.ErrorMessage
		}
	}
	return resp, nil
}

// checkUpdate says why a feature cannot have a level.
func checkUpdate(u kmsg.UpdateFeaturesRequestFeatureUpdate, version int16) error {
	i := slices.IndexFunc(features(), func(f feature) bool { return f.name == u.Feature })
	if i < 0 {
		return fmt.Errorf("%w: there is no feature %.64q here", kerr.InvalidUpdateVersion, u.Feature)
	}
	f := features()[i]
	lowers := version == 0 && u.AllowDowngrade || version >= 1 && u.UpgradeType != upgrade
	switch {
	case u.MaxVersionLevel < 0 || u.MaxVersionLevel > f.max:
		return fmt.Errorf("%w: %s has levels 0 to %d, not %d", kerr.InvalidUpdateVersion, f.name, f.max, u.MaxVersionLevel)
	case u.MaxVersionLevel < f.finalized && !lowers:
		return fmt.Errorf("%w: %s is at level %d, and the update is not one that lowers it", kerr.InvalidUpdateVersion, f.name, f.finalized)
	case u.MaxVersionLevel < f.finalized:
		return fmt.Errorf("%w: the level of %s belongs to the release: it is %d and cannot be lowered", kerr.FeatureUpdateFailed, f.name, f.finalized)
	}
	return nil
}

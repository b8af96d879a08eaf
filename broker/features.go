package broker

import "github.com/twmb/franz-go/pkg/kmsg"

// feature is a switch of the cluster (KIP-584). Clients use what is finalized.
type feature struct {
	name      string
	max       int16 // the highest level that is supported; the lowest is 0
	finalized int16 // the level that is in use; 0 means off
}

// features are the switches of this broker. Each says only what is true: a client
// changes to another protocol by it.
func features() []feature {
	return []feature{
		{"group.version", 1, 1},       // KIP-848
		{"transaction.version", 2, 2}, // KIP-890
	}
}

// addFeatures reports the features in ApiVersions.
func addFeatures(resp *kmsg.ApiVersionsResponse) {
	resp.FinalizedFeaturesEpoch = 0
	for _, f := range features() {
		supported := kmsg.NewApiVersionsResponseSupportedFeature()
		supported.Name, supported.MinVersion, supported.MaxVersion = f.name, 0, f.max
		resp.SupportedFeatures = append(resp.SupportedFeatures, supported)
		if f.finalized > 0 {
			final := kmsg.NewApiVersionsResponseFinalizedFeature()
			final.Name, final.MinVersionLevel, final.MaxVersionLevel = f.name, f.finalized, f.finalized
			resp.FinalizedFeatures = append(resp.FinalizedFeatures, final)
		}
	}
}

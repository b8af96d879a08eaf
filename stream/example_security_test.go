package stream_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/riffle-stream/riffle/stream"
)

// An application logs in to a cluster over TLS. Its password comes from a variable, the
// root that it trusts from a file.
func ExampleCluster_Secure() {
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile("ca.pem"); err != nil || !roots.AppendCertsFromPEM(pem) {
		fmt.Println("ca.pem cannot be read, or holds no certificate")
		return
	}
	cluster := stream.Kafka("kafka-1:9093").Secure(stream.Security{
		TLS:  &tls.Config{RootCAs: roots},
		User: "fraud", Password: os.Getenv("FRAUD_PASSWORD"),
	})
	_ = cluster // stream.Run(ctx, topology, cluster)
}

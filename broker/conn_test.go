package broker

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/internal/vfs"
)

// A handler that panics ends its connection and no other.
func TestPanicClosesOneConnection(t *testing.T) {
	t.Parallel()
	b, err := Start(Config{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop(context.Background())
	b.apis[int16(kmsg.ListGroups)] = api{int16(kmsg.ListGroups), 0, 0, func(*Broker, context.Context, *conn, kmsg.Request) (kmsg.Response, error) {
		panic("a bug")
	}}
	dial := func() net.Conn {
		nc, err := b.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
		return nc
	}
	bystander, victim := dial(), dial()
	if _, err := victim.Write(requestFrame(int16(kmsg.ListGroups), 0, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := victim.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the panicking connection: %v, want EOF", err)
	}
	if _, err := bystander.Write(requestFrame(int16(kmsg.ApiVersions), 0, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(bystander, make([]byte, 8)); err != nil {
		t.Errorf("another connection: %v, want an answer", err)
	}
}

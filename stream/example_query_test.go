package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// The stores of a running application can be read from outside.
func ExampleApp_Get() {
	ctx := context.Background()
	paid := state.NewTableStore("paid", serde.String, serde.Int64)
	perMinute := state.NewWindowStore("per-minute", serde.String, serde.Int64)
	var app *stream.App // from NewApp; Run runs in another goroutine

	// Whatever a processor can read, a View can: here the windows of a key.
	show := func() error {
		row, found, err := app.Get(ctx, paid, "card-1")
		var elsewhere *stream.NotOwnerError
		switch {
		case errors.As(err, &elsewhere):
			fmt.Println("ask", elsewhere.Address)
			return nil
		case err != nil:
			return err
		}
		fmt.Println(row.Value, found)

		view, err := app.View(ctx, perMinute, "card-1")
		if err != nil {
			return err
		}
		for w, err := range perMinute.In(view).Fetch("card-1", time.Now().Add(-time.Hour), time.Now()) {
			if err != nil {
				return err
			}
			fmt.Println(w.Start, w.Value)
		}
		return nil
	}
	_ = show
}

// The same over HTTP: GET /stores/paid/keys/card-1.
func ExampleApp_QueryHandler() {
	serve := func(app *stream.App) {
		log.Fatal(http.ListenAndServe("127.0.0.1:8080", app.QueryHandler()))
	}
	_ = serve
}

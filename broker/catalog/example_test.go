package catalog_test

import (
	"errors"
	"fmt"

	"github.com/riffle-stream/riffle/broker/catalog"
	"github.com/riffle-stream/riffle/internal/vfs"
)

func ExampleOpen() {
	disk := vfs.NewMem()
	c, err := catalog.Open(disk)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := c.Create("orders", 3, map[string]string{"retention.ms": "-1"}); err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Create("orders", 3, nil)
	fmt.Println(errors.Is(err, catalog.ErrTopicExists), err)

	again, err := catalog.Open(disk)
	if err != nil {
		fmt.Println(err)
		return
	}
	orders, _ := again.Lookup("orders")
	fmt.Println(orders.Partitions, "partitions, kept for ever:", orders.Config().Retention < 0)
	// Output:
	// true catalog: topic exists: "orders"
	// 3 partitions, kept for ever: true
}

func ExampleTable_Validate() {
	fmt.Println(catalog.TopicTable.Validate(map[string]string{
		"retention.minutes": "5",
		"riffle.flush":      "sometimes",
	}))
	// Output:
	// catalog: invalid config: retention.minutes="5": there is no such topic config; did you mean retention.bytes, retention.ms?
	// catalog: invalid config: riffle.flush="sometimes": want one of each, os
}

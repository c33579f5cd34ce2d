package request_test

import (
	"fmt"
	"strconv"
	"time"

	"maestro/clsv"
	"maestro/clsv/clsvtest"
	"maestro/clsv/once"
	"maestro/clsv/request"
)

// A number that two servers keep, and a client that adds to it. (A real one
// would also transfer the number and the table to servers that join.)
func Example() {
	c := clsvtest.New(1)
	join := func(name string, role clsv.Role, serve func(*request.Request) ([]byte, error),
	) *request.Dispatcher {
		d, _ := request.New(request.Options{Serve: serve})
		o := clsv.Options{Role: role, Handler: d.Wrap(nil)}
		o.Total = true
		m := c.Add(name, o)
		d.Bind(m)
		_ = m.StartJoin()
		c.Run(time.Second)
		return d
	}
	for _, name := range []string{"a", "b"} {
		sum, table := 0, once.New(once.Limits{})
		join(name, clsv.Server, request.Once(table, func(r *request.Request) []byte {
			n, _ := strconv.Atoi(string(r.Data))
			sum += n
			return []byte(strconv.Itoa(sum))
		}))
	}
	client := join("client", clsv.Client, nil)
	add := request.Call{To: request.AllServers(), Retry: true, Data: []byte("20")}
	print := func(replies []request.Reply, err error) {
		fmt.Printf("%s %v\n", replies[0].Data, err)
	}
	_, _ = client.Start(add, print)
	c.Run(time.Second)
	c.Crash("a")
	_, _ = client.Start(add, print)
	c.Run(time.Second)
	fmt.Println(c.Close())
	// Output:
	// 20 <nil>
	// 40 <nil>
	// <nil>
}

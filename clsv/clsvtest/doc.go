// Package clsvtest runs groups of clsv members in one process, over a simulated
// network and in virtual time, for the unit tests of applications. It is to
// clsv what net/http/httptest is to net/http.
//
//	c := clsvtest.New(1)
//	a := c.Server("a", handlerA)
//	b := c.Client("b", handlerB)
//	c.Run(time.Second)
//	_, err := b.TryScast([]byte("hello"))
//	c.Run(10 * time.Millisecond)
//	c.Partition([]string{"a"}, []string{"b"})
//	...
//	if err := c.Close(); err != nil {
//		t.Error(err)
//	}
//
// Nothing happens but in Run, Wait and in the calls of members that wait, which
// let virtual time pass. A cluster is used from one goroutine. Everything
// follows from the seed: two runs of a seed are the same run.
//
// All that the members do and see is checked against the properties of virtual
// synchrony and of the client/server layer; Close reports what was violated.
package clsvtest

package check

// graph is a directed graph on messages, for sorting them.
type graph struct {
	from, to []int32
	nodes    []bool
	first    []int32 // by node: index of its first edge in the sorted lists
}

func newGraph(n int) *graph { return &graph{nodes: make([]bool, n)} }

// edge says that a comes before b.
func (g *graph) edge(a, b int32) {
	g.nodes[a], g.nodes[b] = true, true
	g.from, g.to = append(g.from, a), append(g.to, b)
}

// chain says that s comes in this order.
func (g *graph) chain(s []int32) {
	for k, i := range s {
		g.nodes[i] = true
		if k > 0 {
			g.edge(s[k-1], i)
		}
	}
}

// sort gives an order that fits all edges. If there is none, left is a node on
// a circle or behind one; otherwise it is -1.
func (g *graph) sort() (order []int32, left int32) {
	n := len(g.nodes)
	g.first = make([]int32, n+1)
	degree := make([]int32, n)
	for k, a := range g.from {
		g.first[a+1]++
		degree[g.to[k]]++
	}
	for i := range n {
		g.first[i+1] += g.first[i]
	}
	next := make([]int32, len(g.to))
	fill := append([]int32(nil), g.first[:n]...)
	for k, a := range g.from {
		next[fill[a]] = g.to[k]
		fill[a]++
	}
	for i := range n {
		if g.nodes[i] && degree[i] == 0 {
			order = append(order, int32(i))
		}
	}
	for done := 0; done < len(order); done++ {
		a := order[done]
		for _, b := range next[g.first[a]:g.first[a+1]] {
			if degree[b]--; degree[b] == 0 {
				order = append(order, b)
			}
		}
	}
	for i := range n {
		if degree[i] > 0 {
			return order, int32(i)
		}
	}
	return order, -1
}

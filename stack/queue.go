package stack

// Queue is a first-in-first-out list of messages that a layer holds back. It
// keeps their buffers.
type Queue struct {
	msgs []Msg
	head int
}

// Len is how many messages there are.
func (q *Queue) Len() int { return len(q.msgs) - q.head }

// Push puts a message at the end.
func (q *Queue) Push(m *Msg) {
	if m.Buf != nil {
		m.Buf.Keep()
	}
	q.msgs = append(q.msgs, *m)
}

// First is the message at the front; there must be one.
func (q *Queue) First() *Msg { return &q.msgs[q.head] }

// All is all messages, in order. They stay the queue's.
func (q *Queue) All() []Msg { return q.msgs[q.head:] }

// Drop takes the message off the front and gives up its buffer.
func (q *Queue) Drop() {
	m := q.First()
	if m.Buf != nil {
		m.Buf.Drop()
	}
	*m = Msg{}
	q.head++
	if q.head == len(q.msgs) {
		q.msgs, q.head = q.msgs[:0], 0
	}
}

// Clear gives up everything.
func (q *Queue) Clear() {
	for q.Len() > 0 {
		q.Drop()
	}
}

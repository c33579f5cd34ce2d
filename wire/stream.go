package wire

// Span is a run of segment numbers, both ends included.
type Span struct{ From, To uint64 }

// MaxSpans is the largest number of gaps in one NAK.
const MaxSpans = 128

// Nak names the missing segments of one stream.
type Nak struct {
	Stream int // which stream; between two members, whose
	Spans  []Span
}

// Append appends the encoded message to b.
func (m *Nak) Append(b []byte) []byte {
	w := writer(b)
	w.u16(uint16(m.Stream))
	w.u16(uint16(len(m.Spans)))
	for _, s := range m.Spans {
		w.u64(s.From)
		w.u64(s.To)
	}
	return w
}

// Parse decodes a message, reusing Spans.
func (m *Nak) Parse(b []byte) error {
	r := reader{b: b}
	m.Stream = int(r.u16())
	n := r.count(MaxSpans, 16)
	m.Spans = m.Spans[:0]
	for range n {
		s := Span{r.u64(), r.u64()}
		if s.From == 0 || s.To < s.From {
			r.bad = true
		}
		m.Spans = append(m.Spans, s)
	}
	return r.end()
}

// Ack is how far a receiver has got in one sender's stream.
type Ack struct {
	Stream   int    // which stream; between two members, whose
	Received uint64 // last segment received without a gap
	Consumed uint64 // last segment whose messages the application has done with
	Drops    uint64 // datagrams that the receiver's sockets have ever dropped
}

// Append appends the encoded message to b.
func (m *Ack) Append(b []byte) []byte {
	w := writer(b)
	w.u16(uint16(m.Stream))
	w.u64(m.Received)
	w.u64(m.Consumed)
	w.u64(m.Drops)
	return w
}

// Parse decodes a message.
func (m *Ack) Parse(b []byte) error {
	r := reader{b: b}
	m.Stream = int(r.u16())
	m.Received = r.u64()
	m.Consumed = r.u64()
	m.Drops = r.u64()
	return r.end()
}

// Mark is how far a sender's stream goes and how far it is known to be stable.
type Mark struct {
	Stream int // which stream; 0 between two members
	Sent   uint64
	Stable uint64
	Core   uint64 // of a stream to all: how far the sender's core stream is stable
	Window uint32 // segments that the sender may have out; 0 between two members
}

// Append appends the encoded message to b.
func (m *Mark) Append(b []byte) []byte {
	w := writer(b)
	w.u16(uint16(m.Stream))
	w.u64(m.Sent)
	w.u64(m.Stable)
	w.u64(m.Core)
	w.u32(m.Window)
	return w
}

// Parse decodes a message.
func (m *Mark) Parse(b []byte) error {
	r := reader{b: b}
	m.Stream = int(r.u16())
	m.Sent = r.u64()
	m.Stable = r.u64()
	m.Core = r.u64()
	m.Window = r.u32()
	return r.end()
}

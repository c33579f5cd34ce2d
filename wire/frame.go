package wire

import (
	"encoding/binary"
	"math"
)

// FrameHead reads the head of the frame that b begins with: its kind, how long
// its message is, and how long the head itself is, 0 if b ends before it does and
// less if it is none.
func FrameHead(b []byte) (kind uint8, size, head int) {
	if len(b) > 1 && b[1] < 0x80 {
		return b[0], int(b[1]), 2
	}
	if len(b) == 0 {
		return 0, 0, 0
	}
	v, n := binary.Uvarint(b[1:])
	switch {
	case n == 0 && len(b) < FrameHeadMax:
		return b[0], 0, 0
	case n <= 0 || n >= FrameHeadMax || v > math.MaxInt32:
		return b[0], 0, -1
	}
	return b[0], int(v), 1 + n
}

// FrameHeadMax is the longest head of a frame: one byte of kind, a length of up to
// five bytes.
const FrameHeadMax = 1 + 5

// Frames is whole frames one after the other.
type Frames []byte

// Next takes the first frame off; ok is false when there is none. The message
// lies in the frames' own memory.
func (f *Frames) Next() (kind uint8, msg []byte, ok bool) {
	b := *f
	if len(b) > 1 && b[1] < 0x80 && int(b[1]) <= len(b)-2 { // the most
		end := 2 + int(b[1])
		*f = b[end:]
		return b[0], b[2:end:end], true
	}
	return f.next()
}

func (f *Frames) next() (kind uint8, msg []byte, ok bool) {
	b := *f
	kind, size, head := FrameHead(b)
	if head <= 0 || size > len(b)-head {
		return 0, nil, false
	}
	end := head + size
	*f = b[end:]
	return kind, b[head:end:end], true
}

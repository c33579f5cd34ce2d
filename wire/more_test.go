package wire

import "testing"

// FlagMore is in all segments of a burst for which it is asked, and in no other.
func TestMore(t *testing.T) {
	pool := &Pool{}
	for _, newLog := range []func(*Pool, Header, int) *Log{NewLog, NewSpacedLog} {
		l := newLog(pool, Header{Kind: KindCast, Conn: 7}, 200)
		for _, on := range []bool{true, false, true} {
			for range 30 {
				l.Append(1, nil, []byte("a message of thirty-two letters."))
			}
			l.Seal()
			l.More(on)
			for {
				b, seg, _, _ := l.Burst(1<<60, 0)
				if b == nil {
					break
				}
				for ; len(b) > 0; b = b[min(seg, len(b)):] {
					if more, stream := MoreOf(b); !stream || more != on {
						t.Fatalf("more %v of a stream %v, want %v", more, stream, on)
					}
				}
			}
		}
		l.Close()
	}
	if n := pool.Live(); n != 0 {
		t.Errorf("%d buffers leaked", n)
	}
}

// What is no segment of ours has no flag, however short it is.
func TestMoreOfOthers(t *testing.T) {
	var b [HeaderLen]byte
	h := Header{Kind: KindSend, Flags: FlagMore}
	h.Put(b[:])
	for n := range b {
		if more, stream := MoreOf(b[:n]); more || stream {
			t.Errorf("%d bytes: more %v, stream %v", n, more, stream)
		}
	}
	if more, stream := MoreOf(b[:]); !more || !stream {
		t.Errorf("more %v, stream %v", more, stream)
	}
	h.Kind = KindAck
	h.Put(b[:])
	if _, stream := MoreOf(b[:]); stream {
		t.Error("an acknowledgement is no stream")
	}
}

package rsm

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"maestro/clsv"
	"maestro/clsv/once"
)

// ReceiveScast applies a command.
func (h handler[C, R]) ReceiveScast(origin clsv.Endpoint, msg []byte) {
	r := h.r
	if !r.has() || len(msg) == 0 || msg[0] != tagCommand {
		return // a client that was addressed, or a stranger
	}
	id, rest, err := once.ParseID(msg[1:])
	if err != nil || len(rest) == 0 {
		return
	}
	if !r.applied.Primary {
		return // who has sent it knows the view, and that nobody applies it there
	}
	r.answer(&answer{origin, id, r.apply(id, msg, rest)})
}

// apply carries a command out, unless it has been, and returns the reply.
func (r *Replica[C, R]) apply(id once.ID, msg, rest []byte) []byte {
	reply, err := r.table.Do(id, func() []byte {
		reply := r.execute(op(rest[0]), rest[1:])
		d := xxhash.NewWithSeed(r.hash)
		_, _ = d.Write(msg)
		_, _ = d.Write(reply)
		r.hash = d.Sum64()
		return reply
	})
	if err != nil {
		return []byte{byte(statusForgotten)}
	}
	return reply
}

func (r *Replica[C, R]) execute(what op, command []byte) []byte {
	ok := []byte{byte(statusOK)}
	if what == opBarrier {
		return ok
	}
	c, err := r.o.Command.Parse(command)
	if err != nil {
		return []byte{byte(statusBad)}
	}
	reply, err := r.o.Result.Append(ok, r.o.Machine.Apply(c))
	if err != nil {
		return []byte{byte(statusBad)}
	}
	return reply
}

// witness is the place of this server among those who tell a member that they
// have applied its command, from 0; -1 if it is none of them. They are as many as
// have to have it, less the member itself if it is a server.
func (r *Replica[C, R]) witness(v *clsv.View, origin clsv.Endpoint) int {
	n := r.o.copies(v)
	if v.IsServer(origin) {
		n--
	}
	place := v.MyServerRank
	if i := slices.Index(v.Servers, origin); i >= 0 && i < place {
		place--
	}
	if place >= n {
		return -1
	}
	return place
}

// answer is a reply for who has proposed a command.
type answer struct {
	origin clsv.Endpoint
	id     once.ID
	reply  []byte
}

// maxUntold bounds the answers that wait. Without one, a command is sent again.
const maxUntold = 4096

// answer tells who has proposed a command, if that is this member or expects it
// from this one: now, or when this server can vouch for it.
func (r *Replica[C, R]) answer(a *answer) {
	r.mu.Lock()
	v, vouch := r.view, r.vouch
	mine := r.client != nil && a.id.Client == r.identity
	place := -1
	if v != nil && v.State == clsv.ServerNormal {
		place = r.witness(v, a.origin)
	}
	r.mu.Unlock()
	reply := a.reply
	switch {
	case !vouch:
		if len(r.untold) < maxUntold {
			r.untold = append(r.untold, *a)
		}
		return
	case mine:
		r.complete(v.Me, brief(a.id.Client), a.id.Number, r.table.Clock(), reply)
		return
	case place < 0:
		return
	case place > 0 || v.IsServer(a.origin): // it needs the result once
		reply = []byte{byte(statusCopy)}
	}
	b := binary.LittleEndian.AppendUint32([]byte{0, tagReply}, brief(a.id.Client))
	b = binary.AppendUvarint(b, a.id.Number)
	b = binary.AppendUvarint(b, r.table.Clock())
	_, _ = r.TrySend(a.origin, append(b, reply...), clsv.MsgOptions{Safety: clsv.Safe})
}

// tell gives the answers that have waited, if it may.
func (r *Replica[C, R]) tell() {
	late := r.untold
	r.untold = nil
	for i := range late {
		r.answer(&late[i])
	}
}

func isReply(msg []byte) bool { return len(msg) > 1 && msg[0] == 0 && msg[1] == tagReply }

package csx

import (
	"context"
	"fmt"

	"maestro/clsv"
)

// The defaults and limits of Options.
const (
	// DefaultChunk is what the stack below puts together in recycled memory, with
	// its heads: larger messages are garbage by the gigabyte.
	DefaultChunk      = 62 << 10
	DefaultWindow     = 160
	DefaultMaxReply   = 16 << 20
	DefaultMaxBacklog = 32 << 20
	DefaultRequests   = 64

	maxChunk    = 4 << 20
	maxWindow   = 1 << 10
	maxRequests = 1 << 10
	minChunk    = 16
)

// Options are the options of a Member. Only Group is required. Memory beside the
// state is bounded by Chunk * (Window + 3) for each stream, at both ends, and by
// MaxBacklog at the newcomer.
type Options struct {
	clsv.Options
	// Handler is the application, in place of that of clsv.Options; nil does
	// nothing.
	Handler Handler

	// Hold keeps Cast, Scast and Lsend messages back while this server
	// transfers, until Done; see the package's comment.
	Hold bool
	// MaxBacklog bounds what is held back, in bytes. Beyond it the transfer is
	// terminated. Default 32 MiB.
	MaxBacklog int
	// Chunk is the size of a portion of a stream, in bytes: 16 to 4 Mi. Default
	// 62 KiB.
	Chunk int
	// Window is how many chunks of a stream may be under way. Default 160.
	Window int
	// MaxReply bounds the reply to a GetState, in bytes. Default 16 MiB.
	MaxReply int
	// Requests is how many requests of a transfer may be outstanding. Default 64.
	Requests int
	// NoCompress switches compression off.
	NoCompress bool
}

func (o *Options) fill() error {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.MaxBacklog, DefaultMaxBacklog)
	def(&o.Chunk, DefaultChunk)
	def(&o.Window, DefaultWindow)
	def(&o.MaxReply, DefaultMaxReply)
	def(&o.Requests, DefaultRequests)
	if o.Handler == nil {
		o.Handler = NopHandler{}
	}
	bad := func(field string, v int) error {
		return fmt.Errorf("csx: %w: %s = %v", clsv.ErrOptions, field, v)
	}
	switch {
	case o.MaxBacklog < 0:
		return bad("MaxBacklog", o.MaxBacklog)
	case o.Chunk < minChunk || o.Chunk > maxChunk:
		return bad("Chunk", o.Chunk)
	case o.Window < 1 || o.Window > maxWindow:
		return bad("Window", o.Window)
	case o.MaxReply < 0:
		return bad("MaxReply", o.MaxReply)
	case o.Requests < 1 || o.Requests > maxRequests:
		return bad("Requests", o.Requests)
	}
	return nil
}

// New makes a member that has not joined yet, over real sockets.
func New(o Options) (*Member, error) { return NewMember(o, clsv.Net{}) }

// Open makes a member and joins the group. The caller must Close it.
func Open(ctx context.Context, o Options) (*Member, error) {
	m, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := m.Join(ctx); err != nil {
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// NewMember is New with another driver, such as a simulator.
func NewMember(o Options, d clsv.Driver) (*Member, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	m := &Member{o: o, h: o.Handler, joiners: map[clsv.Endpoint]*joiner{}}
	if p, ok := o.Handler.(clsv.PrimaryObserver); ok {
		m.primary = &primary{Handler: o.Handler, p: p}
		m.h = m.primary
	}
	co := o.Options
	a := adapter{m}
	co.Handler = a
	if x, ok := o.Handler.(clsv.Exchanger); ok {
		co.Handler = exchanger{a, x}
	}
	var err error
	m.Member, err = clsv.NewMember(co, d)
	if err != nil {
		return nil, err
	}
	return m, nil
}

package prim

import (
	"maestro/clsv"
	"maestro/clsv/csx"
)

// WrapCSX is Wrap for a member of package csx: it puts the package between the
// member that will be made with o and o.Handler, which may be nil.
func WrapCSX(o *csx.Options) (*Views, error) {
	if err := only(&o.GroupOptions); err != nil {
		return nil, err
	}
	if o.Handler == nil {
		o.Handler = csx.NopHandler{}
	}
	h := o.Handler
	v := &Views{}
	f := transferring{v.observer(h), h, h}
	o.Handler = f
	if x, ok := h.(clsv.Exchanger); ok {
		o.Handler = struct {
			transferring
			exchanger
		}{f, exchanger{x, v}}
	}
	return v, nil
}

// transferring is the front of an application of package csx.
type transferring struct {
	observer
	clsv.Receiver
	csx.Transferrer
}

// StateHash shows the application's state, if it does.
func (f transferring) StateHash() uint64 {
	if h, ok := f.Transferrer.(clsv.StateHasher); ok {
		return h.StateHash()
	}
	return 0
}

// Replay passes on what is the application's.
func (f transferring) Replay(v *clsv.View) {
	if r, ok := f.Transferrer.(csx.Replayer); ok {
		r.Replay(v)
	}
}

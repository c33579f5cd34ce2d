// Package member is the program of one member of a replicated map: what maestro
// node runs.
package member

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"maestro/clsv"
	"maestro/cmd/maestro/internal/data"
	"maestro/cmd/maestro/internal/kv"
	"maestro/cmd/maestro/internal/link"
	"maestro/stack/trace"
)

// Config is what a member is started with.
type Config struct {
	Group, Name string
	Role        clsv.Role
	Xfer        clsv.Xfer
	Transport   clsv.Transport
	Quorum      int
	Data        string        // a file; empty is the one that comes with the program
	Empty       bool          // begin with an empty map instead
	HTTP        string        // the address of the HTTP interface; empty for none
	Metrics     string        // that of the metrics; empty for none
	Trace       string        // the trace file; empty for none
	JSON        bool          // print JSON lines instead of text
	Attached    bool          // end with the input
	Timeout     time.Duration // of a command
	Log         *slog.Logger
}

// program is a member that runs.
type program struct {
	c     Config
	store *kv.Store
	link  link.Switch
	print printer
	ended chan error // gets what Exit reports

	cutting sync.Mutex
	mend    *time.Timer
}

// Run runs a member until ctx is done, its input says quit, or it is thrown out
// of its group. It leaves the group before it returns.
func Run(ctx context.Context, c Config, in io.Reader, out io.Writer) (err error) {
	p := &program{c: c, ended: make(chan error, 1), print: printer{w: out, json: c.JSON}}
	o := clsv.Options{GroupOptions: clsv.GroupOptions{Group: c.Group, Name: c.Name,
		Transport: c.Transport, Quorum: c.Quorum, Logger: c.Log}, Role: c.Role, Xfer: c.Xfer}
	if c.Trace != "" {
		w, err := trace.Create(c.Trace)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.Close()) }()
		o.Trace = w
	}
	ko := kv.Options{Notify: p.notify}
	if !c.Empty {
		ko.Load = func() ([]kv.Entry, error) { return data.Load(c.Data) }
	}
	if p.store, err = kv.New(ko, o, p.link.Driver()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.store.Member().Close()) }()
	stop, err := p.serve()
	if err != nil {
		return err
	}
	defer stop()
	return p.run(ctx, in)
}

// run joins the group and carries out commands.
func (p *program) run(ctx context.Context, in io.Reader) error {
	joined := make(chan error, 1)
	go func() { joined <- p.store.Join(ctx) }()
	lines := make(chan string)
	go read(ctx, in, lines)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-joined:
			if err != nil && ctx.Err() == nil {
				return err
			}
			if st, ok := p.store.Member().Stats(); ok {
				p.print.line(Event{Event: "sockets", Text: st.Transport})
			}
		case err := <-p.ended:
			return fmt.Errorf("out of the group: %w", err)
		case l, ok := <-lines:
			if !ok && p.c.Attached || ok && p.command(ctx, l) {
				return nil
			}
			if !ok {
				lines = nil
			}
		}
	}
}

// read passes lines on. It may stay in its last read for ever.
func read(ctx context.Context, in io.Reader, lines chan<- string) {
	defer close(lines)
	s := bufio.NewScanner(in)
	s.Buffer(nil, kv.MaxValue+kv.MaxKey)
	for s.Scan() {
		select {
		case lines <- s.Text():
		case <-ctx.Done():
			return
		}
	}
}

// cut cuts the member off from everybody for a time.
func (p *program) cut(d time.Duration) {
	p.cutting.Lock()
	defer p.cutting.Unlock()
	if p.mend != nil {
		p.mend.Stop()
	}
	p.link.Cut(true)
	p.mend = time.AfterFunc(d, func() {
		p.link.Cut(false)
		p.print.line(Event{Event: "mended", Text: "the network is back"})
	})
}

// notify prints what happens.
func (p *program) notify(e kv.Event) {
	p.print.line(describe(&e))
	if e.What == kv.Ended && e.Err != nil {
		p.ended <- e.Err
	}
}

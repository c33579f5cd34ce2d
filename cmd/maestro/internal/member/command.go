package member

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Reply begins the Event of a reply to a command, the verb follows.
const Reply = "reply:"

const help = `set KEY VALUE   set a key
get KEY         print its value
del KEY         delete it
dump            print all entries
digest          print the SHA-256 of all entries
sync            wait for all that was acknowledged to anybody before
view            print who is in the group
quit            leave the group and end`

var errUsage = errors.New("not understood; say help")

// command carries out a line of input. It reports whether it was the last.
func (p *program) command(ctx context.Context, line string) (quit bool) {
	verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	rest = strings.TrimSpace(rest)
	if verb == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, p.c.Timeout)
	defer cancel()
	e := Event{Event: Reply + verb}
	var err error
	switch verb {
	case "quit", "exit":
		return true
	case "help":
		e.Text = help
	case "set", "get", "del":
		err = p.entry(ctx, verb, rest, &e)
	case "cut": // for tests and demonstrations
		var d time.Duration
		if d, err = time.ParseDuration(rest); err == nil {
			p.cut(d)
			e.Text = "cut off for " + rest
		}
	default:
		err = p.look(ctx, verb, rest, &e)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %v", p.c.Timeout)
	}
	if err != nil {
		e.Err, e.Text = err.Error(), ""
	}
	p.print.line(e)
	return false
}

// entry carries out a command about one entry.
func (p *program) entry(ctx context.Context, verb, rest string, e *Event) (err error) {
	key, value, two := strings.Cut(rest, " ")
	if key == "" || two != (verb == "set") {
		return errUsage
	}
	switch verb {
	case "set":
		e.Text, err = "ok", p.store.Set(ctx, key, strings.TrimSpace(value))
	case "get":
		if e.Value, e.Found, err = p.store.Get(ctx, key); e.Found {
			e.Text = e.Value
		}
	case "del":
		e.Text = "ok"
		e.Found, err = p.store.Delete(ctx, key)
	}
	if err == nil && !e.Found && verb != "set" {
		e.Text = "not there"
	}
	return err
}

// look carries out a command that only looks.
func (p *program) look(ctx context.Context, verb, rest string, e *Event) error {
	if rest != "" {
		return errUsage
	}
	switch verb {
	case "view":
		if v := p.store.View(); v != nil {
			e.view(v)
		} else {
			e.Text = "not in a view yet"
		}
	case "digest":
		d, err := p.store.Digest(ctx)
		if err != nil {
			return err
		}
		e.Digest, e.Text = &d, fmt.Sprintf("%s %d entries", d.SHA256, d.Entries)
	case "sync":
		e.Text = "ok"
		return p.store.Sync(ctx)
	case "dump":
		list, err := p.store.Dump(ctx)
		if err != nil {
			return err
		}
		e.Dump = list
		if p.c.JSON {
			break
		}
		var b strings.Builder
		for _, x := range list {
			fmt.Fprintf(&b, "%s\t%s\n", x.Key, x.Value)
		}
		e.Text = strings.TrimSuffix(b.String(), "\n")
	default:
		return errUsage
	}
	return nil
}

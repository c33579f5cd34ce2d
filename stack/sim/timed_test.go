package sim

import (
	"slices"
	"testing"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// timedApp has deadlines of its own.
type timedApp struct {
	Recorder
	due     []stack.Time // that are to come
	expired []stack.Time
}

func (a *timedApp) Next() stack.Time {
	if len(a.due) == 0 {
		return stack.Never
	}
	return a.due[0]
}

func (a *timedApp) Expire(now stack.Time) {
	a.due = a.due[1:]
	a.expired = append(a.expired, now)
}

// TestTimed has an application's deadlines kept by the member's clock, also
// while callbacks take their time.
func TestTimed(t *testing.T) {
	const ms = stack.Time(time.Millisecond)
	w := New(1, Options{})
	a := &timedApp{due: []stack.Time{5 * ms}}
	cfg := fakeConfig(1)
	cfg.Self = wire.Endpoint{Name: fakeName(0), Incarnation: 1}
	m, err := w.Add(fakeName(0), cfg, a)
	if err != nil {
		t.Fatal(err)
	}
	m.Skew = 2 * time.Millisecond
	m.Callback = 20 * time.Millisecond // the first view keeps the application busy
	m.Join()
	w.RunFor(10 * time.Millisecond)
	if a.Current != nil {
		t.Error("the application is not busy")
	}
	m.Do(func(*stack.Group) { a.due = []stack.Time{0} }) // now
	w.RunFor(time.Millisecond)
	if want := []stack.Time{5 * ms, 12 * ms}; !slices.Equal(a.expired, want) {
		t.Errorf("expired at %v, want %v", a.expired, want)
	}
	w.RunFor(20 * time.Millisecond)
	if a.Current == nil {
		t.Error("no view")
	}
	if err = w.Close(); err != nil {
		t.Error(err)
	}
}

package suite

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"maestro/internal/netlab"
)

// nsLab is a lab of namespaces. Package netlab reports to a test; here that is
// nsTest, and what fails becomes an error.
type nsLab struct {
	lab  *netlab.Lab
	test *nsTest
}

// nsTest is what netlab takes for a test.
type nsTest struct{ cleanups []func() }

// failure is how netlab leaves a call that has failed.
type failure struct{ error }

func (t *nsTest) Helper()             {}
func (t *nsTest) Failed() bool        { return false }
func (t *nsTest) Logf(string, ...any) {}
func (t *nsTest) Cleanup(f func())    { t.cleanups = append(t.cleanups, f) }
func (t *nsTest) Fatalf(f string, args ...any) {
	panic(failure{fmt.Errorf("suite: "+f, args...)})
}
func (t *nsTest) Skipf(f string, args ...any) {
	panic(failure{fmt.Errorf("suite: "+f+": use --net lo", args...)})
}

// try makes an error of a call that fails.
func try(f func()) (err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case failure:
			err = e.error
		default:
			panic(e)
		}
	}()
	f()
	return nil
}

func newLab(n, mtu int, bursts bool) (lab, error) {
	l := &nsLab{test: &nsTest{}}
	err := try(func() {
		l.lab = netlab.New(l.test, n, netlab.Options{MTU: mtu, GSO: bursts, Unnamed: true})
	})
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// Able says whether there can be namespaces here.
func Able() error {
	if why := netlab.Unable(); why != "" {
		return errors.New(why)
	}
	return nil
}

func (l *nsLab) in(i int, f func()) error { return try(func() { l.lab.InNS(i, f) }) }

func (l *nsLab) addr(i int) netip.Addr { return l.lab.Addr(i) }

func (l *nsLab) loss(permille int) error { return try(func() { l.lab.Loss(permille) }) }

func (l *nsLab) partition(groups [][]int) error {
	return try(func() {
		if len(groups) == 0 {
			l.lab.Heal()
		} else {
			l.lab.Partition(groups)
		}
	})
}

func (l *nsLab) link(i int, up bool) error {
	return try(func() {
		if up {
			l.lab.LinkUp(i)
		} else {
			l.lab.LinkDown(i)
		}
	})
}

func (l *nsLab) close() {
	for _, f := range slices.Backward(l.test.cleanups) {
		_ = try(f)
	}
	l.test.cleanups = nil
}

package script

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// Print writes a value in the notation that scripts are written in: structs as
// {name=value ...}, lists as [value ...], bytes as "text" or "x"*100. Fields
// that are false, empty or nil are left out.
func Print(v any) string { return value(reflect.ValueOf(v)) }

// fields writes a struct without its braces.
func fields(v any) string {
	rv := reflect.Indirect(reflect.ValueOf(v))
	return strings.TrimSuffix(strings.TrimPrefix(value(rv), "{"), "}")
}

// special writes the types that have a notation of their own.
func special(v any) (string, bool) {
	switch v := v.(type) {
	case wire.Endpoint:
		return endpointName(v), true
	case wire.ViewID:
		if v.IsZero() {
			return "-", true
		}
		return fmt.Sprintf("%d:%s", v.Ltime, endpointName(v.Coord)), true
	case wire.Member:
		return endpointName(v.ID), true
	case wire.Span:
		return fmt.Sprintf("%d-%d", v.From, v.To), true
	case netip.AddrPort:
		return addrName(v), true
	case []byte:
		return text(v), true
	case string:
		return fmt.Sprintf("%q", v), true
	case stack.Time:
		if v == stack.Never {
			return "never", true
		}
		return time.Duration(v).String(), true
	case fmt.Stringer: // durations
		return v.String(), true
	}
	return "", false
}

func value(v reflect.Value) string {
	if !v.IsValid() {
		return "nil"
	}
	if s, ok := special(v.Interface()); ok {
		return s
	}
	switch v.Kind() {
	case reflect.Pointer:
		return value(v.Elem())
	case reflect.Struct:
		var parts []string
		for i := range v.NumField() {
			f, name := v.Field(i), v.Type().Field(i).Name
			switch {
			case name == "Raw" || blank(f):
			case f.Kind() == reflect.Bool:
				parts = append(parts, strings.ToLower(name))
			default:
				parts = append(parts, strings.ToLower(name)+"="+value(f))
			}
		}
		return "{" + strings.Join(parts, " ") + "}"
	case reflect.Slice:
		set := v.Type().Elem().Kind() == reflect.Bool
		var parts []string
		for i := range v.Len() {
			if !set {
				parts = append(parts, value(v.Index(i)))
			} else if v.Index(i).Bool() {
				parts = append(parts, fmt.Sprint(i)) // a set, or by rank
			}
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

// blank tells which fields are left out.
func blank(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Bool, reflect.Pointer, reflect.String, reflect.Struct:
		return v.IsZero()
	case reflect.Slice:
		return v.Len() == 0
	}
	return false
}

// text writes bytes, long ones in short.
func text(b []byte) string {
	const most = 48
	if n := len(b); n > 8 && bytes.Count(b, b[:1]) == n {
		return fmt.Sprintf("%q*%d", b[:1], n)
	}
	if n := len(b); n > most {
		return fmt.Sprintf("%q+%d", b[:most/2], n-most/2)
	}
	return fmt.Sprintf("%q", b)
}

// Name is the name of the member of a rank: a, b, c ...
func Name(rank int) string { return string(rune('a' + rank)) }

// Addr is the address of the member of a name.
func Addr(name string) netip.AddrPort {
	last := byte(0)
	for _, c := range []byte(name) {
		last = last*7 + c - 'a' + 1
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, last}), 7000)
}

// recvBuf is what all members' kernels granted.
const recvBuf = 208 << 10

func member(name string) wire.Member {
	id, _ := endpoint(name)
	return wire.Member{ID: id, Addr: Addr(id.Name), RecvBuf: recvBuf}
}

func endpointName(e wire.Endpoint) string {
	if e.Incarnation == 1 {
		return e.Name
	}
	return fmt.Sprintf("%s#%d", e.Name, e.Incarnation)
}

func addrName(a netip.AddrPort) string {
	if !a.IsValid() {
		return "all"
	}
	for r := range 26 {
		if Addr(Name(r)) == a {
			return Name(r)
		}
	}
	return a.String()
}

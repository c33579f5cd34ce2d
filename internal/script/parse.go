package script

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"maestro/stack"
	"maestro/wire"
)

// mistake is what a script has wrong.
type mistake string

// args is the words of a command after its name.
type args []string

// split cuts a line into words. Quotes, brackets and braces keep a word
// together.
func split(line string) (words args, err error) {
	depth, begin := 0, -1
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c == ' ' && depth == 0 {
			if begin >= 0 {
				words, begin = append(words, line[begin:i]), -1
			}
			continue
		}
		if begin < 0 {
			begin = i
		}
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '"':
			q, err := strconv.QuotedPrefix(line[i:])
			if err != nil {
				return nil, fmt.Errorf("bad quotes in %s", line)
			}
			i += len(q) - 1
		}
	}
	if begin >= 0 {
		words = append(words, line[begin:])
	}
	if depth != 0 {
		return nil, fmt.Errorf("unbalanced brackets in %s", line)
	}
	return words, nil
}

// take removes the word name=value, and returns the value.
func (a *args) take(name string) (string, bool) {
	for i, w := range *a {
		if v, ok := strings.CutPrefix(w, name+"="); ok || w == name {
			*a = append((*a)[:i:i], (*a)[i+1:]...)
			return v, true
		}
	}
	return "", false
}

// num removes the word name=number.
func (a *args) num(name string, missing int) int {
	v, ok := a.take(name)
	if !ok {
		return missing
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		panic(mistake(fmt.Sprintf("%s=%s is no number", name, v)))
	}
	return n
}

// next removes the first word.
func (a *args) next() string {
	if len(*a) == 0 {
		panic(mistake("something is missing at the end"))
	}
	w := (*a)[0]
	*a = (*a)[1:]
	return w
}

// data removes the first word that is quoted.
func (a *args) data() []byte {
	for i, w := range *a {
		if w[0] == '"' {
			*a = append((*a)[:i:i], (*a)[i+1:]...)
			return must(bytesOf(w))
		}
	}
	return nil
}

// fill sets the fields of a struct, which all words must name.
func (a *args) fill(to any) {
	v := reflect.Indirect(reflect.ValueOf(to))
	for _, w := range *a {
		if err := setField(v, w); err != nil {
			panic(mistake(err.Error()))
		}
	}
	*a = nil
}

// must returns v.
func must[T any](v T, err error) T {
	if err != nil {
		panic(mistake(err.Error()))
	}
	return v
}

func setField(v reflect.Value, word string) error {
	name, val, given := strings.Cut(word, "=")
	for i := range v.NumField() {
		if !strings.EqualFold(v.Type().Field(i).Name, name) {
			continue
		}
		if v.Field(i).Kind() == reflect.Bool && !given {
			val = "true"
		}
		return set(v.Field(i), val)
	}
	return fmt.Errorf("%v has no field %q", v.Type(), name)
}

func endpoint(s string) (wire.Endpoint, error) {
	name, inc, ok := strings.Cut(s, "#")
	e := wire.Endpoint{Name: name, Incarnation: 1}
	var err error
	if ok {
		e.Incarnation, err = strconv.ParseUint(inc, 10, 64)
	}
	return e, err
}

func viewID(s string) (v wire.ViewID, err error) {
	if s == "-" {
		return v, nil
	}
	time, coord, _ := strings.Cut(s, ":")
	if v.Ltime, err = strconv.ParseUint(time, 10, 64); err == nil {
		v.Coord, err = endpoint(coord)
	}
	return v, err
}

func bytesOf(s string) ([]byte, error) {
	q, err := strconv.QuotedPrefix(s)
	if err != nil {
		return nil, fmt.Errorf("%s is not quoted", s)
	}
	v, err := strconv.Unquote(q)
	if n, ok := strings.CutPrefix(s[len(q):], "*"); ok && err == nil {
		times, err := strconv.Atoi(n)
		return []byte(strings.Repeat(v, times)), err
	}
	return []byte(v), err
}

// setSpecial reads the types that have a notation of their own.
func setSpecial(to any, s string) (ok bool, err error) {
	switch to := to.(type) {
	case *wire.Endpoint:
		*to, err = endpoint(s)
	case *wire.ViewID:
		*to, err = viewID(s)
	case *wire.Member:
		*to = member(s)
	case *wire.Span:
		_, err = fmt.Sscanf(s, "%d-%d", &to.From, &to.To)
	case *netip.AddrPort:
		*to = Addr(s)
	case *time.Duration:
		*to, err = time.ParseDuration(s)
	case *stack.Time:
		var d time.Duration
		d, err = time.ParseDuration(s)
		*to = stack.Time(d)
	case *[]byte:
		*to, err = bytesOf(s)
	case *string:
		*to, err = strconv.Unquote(s)
	default:
		return false, nil
	}
	return true, err
}

func set(v reflect.Value, s string) error {
	if ok, err := setSpecial(v.Addr().Interface(), s); ok {
		return err
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, 64)
		v.SetInt(n)
		return err
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(s, 10, 64)
		v.SetUint(n)
		return err
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		v.SetBool(b)
		return err
	case reflect.Pointer:
		if s == "nil" {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return set(v.Elem(), s)
	case reflect.Struct:
		return each(s, "{", "}", func(_ int, w string) error { return setField(v, w) })
	case reflect.Slice:
		isSet := v.Type().Elem().Kind() == reflect.Bool
		return each(s, "[", "]", func(_ int, w string) error {
			if !isSet {
				v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
				return set(v.Index(v.Len()-1), w)
			}
			r, err := strconv.Atoi(w)
			for v.Len() <= r { // a set of ranks, as long as it must be
				v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			}
			v.Index(r).SetBool(true)
			return err
		})
	}
	return fmt.Errorf("cannot read a %v", v.Type())
}

// each calls f for every word between an opening and a closing mark.
func each(s, open, close string, f func(i int, w string) error) error {
	in, ok := strings.CutPrefix(s, open)
	if ok {
		in, ok = strings.CutSuffix(in, close)
	}
	if !ok {
		return fmt.Errorf("%s is not between %s and %s", s, open, close)
	}
	words, err := split(in)
	for i, w := range words {
		if err == nil {
			err = f(i, w)
		}
	}
	return err
}

// Package data reads the records that a map begins with.
package data

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"maestro/cmd/maestro/internal/kv"
)

// countries is the country codes of ISO 3166 with the coordinates and the name
// of a time zone of each: iso3166.tab and zone.tab of the tz database, which are
// in the public domain.
//
//go:embed countries.csv
var countries string

// Builtin is the name of the file that comes with the program.
const Builtin = "countries.csv"

// Load reads a file: CSV if its name ends in .csv, JSON lines otherwise. An
// empty name is the built-in file.
//
// Of a CSV file, the first column is the key, and the others are the value, as
// a JSON object of their headings. Of JSON lines, an object with the fields
// "key" and "value" is these; of any other the first field is the key, and the
// whole object the value.
func Load(name string) ([]kv.Entry, error) {
	var r io.Reader = strings.NewReader(countries)
	if name == "" {
		name = Builtin
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	read := readLines
	if strings.HasSuffix(strings.ToLower(name), ".csv") {
		read = readCSV
	}
	list, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

func readCSV(r io.Reader) (list []kv.Entry, err error) {
	c := csv.NewReader(r)
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("no headings: %w", err)
	}
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		if len(row) == 2 {
			list = append(list, kv.Entry{Key: row[0], Value: row[1]})
			continue
		}
		list = append(list, kv.Entry{Key: row[0], Value: object(head[1:], row[1:])})
	}
}

// object is a JSON object with its fields in order.
func object(names, values []string) string {
	b := []byte{'{'}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, quote(names[i])...), ':'), quote(v)...)
	}
	return string(append(b, '}'))
}

// quote is a string as JSON, as readable as can be.
func quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // strings cannot fail
	return bytes.TrimSpace(b.Bytes())
}

func readLines(r io.Reader) (list []kv.Entry, err error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, kv.MaxValue)
	for n := 1; in.Scan(); n++ {
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 {
			continue
		}
		e, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		list = append(list, e)
	}
	return list, in.Err()
}

var errObject = errors.New("not a JSON object with a field")

func parse(line []byte) (e kv.Entry, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return e, err
	}
	if k, v := fields["key"], fields["value"]; len(fields) == 2 && k != nil && v != nil {
		return kv.Entry{Key: scalar(k), Value: scalar(v)}, nil
	}
	d := json.NewDecoder(bytes.NewReader(line))
	_, _ = d.Token() // the brace
	first, err := d.Token()
	name, ok := first.(string)
	if err != nil || !ok {
		return e, errObject
	}
	var whole bytes.Buffer
	if err := json.Compact(&whole, line); err != nil {
		return e, err
	}
	return kv.Entry{Key: scalar(fields[name]), Value: whole.String()}, nil
}

// scalar is a string without its quotes, and anything else as it is written.
func scalar(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	if i, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return strconv.FormatInt(i, 10)
	}
	return string(raw)
}

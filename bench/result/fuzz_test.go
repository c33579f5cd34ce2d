package result

import (
	"bytes"
	"testing"
)

// What is read is written again and is then the same.
func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(`{"environment":{"kernel":"6"}}` + "\n" +
		`{"bench":"b","params":{"a":"1"},"metric":"m","unit":"u","values":[1,2],` +
		`"floor":"f","floor_values":[2,0]}`))
	f.Add([]byte(`{"bench":"b","values":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadJSON(bytes.NewReader(b))
		if err != nil {
			return
		}
		var one, two bytes.Buffer
		if r.WriteJSON(&one) != nil {
			return // sums beyond what a number can be
		}
		again, err := ReadJSON(bytes.NewReader(one.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := again.WriteJSON(&two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Fatalf("%v\n%s\n%s", err, &one, &two)
		}
	})
}

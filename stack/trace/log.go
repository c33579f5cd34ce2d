package trace

// Log is a Recorder that keeps everything in memory, in the order of the calls.
type Log struct {
	Events []Event
}

// Record appends a copy of e.
func (l *Log) Record(e *Event) { l.Events = append(l.Events, e.Clone()) }

// Tee is a Recorder that hands every event to each of several.
type Tee []Recorder

// Record passes e on.
func (t Tee) Record(e *Event) {
	for _, r := range t {
		r.Record(e)
	}
}

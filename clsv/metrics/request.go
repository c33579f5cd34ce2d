package metrics

import "maestro/clsv/request"

// RequestSource is what a collector of requests reads: a *request.Dispatcher.
type RequestSource interface {
	Stats() request.Stats
}

// NewRequestCollector makes a collector of a dispatcher's metrics. The member's
// own are those of NewCollector; both may go into one registry.
func NewRequestCollector(from RequestSource, o Options) *Collector {
	return newCollector(o, requestMetrics(), func(s *snapshot) bool {
		s.requests = from.Stats()
		return true
	})
}

// requestMetrics are about requests and replies.
func requestMetrics() []metric {
	number := func(read func(s *request.Stats) uint64) func(s *snapshot) uint64 {
		return func(s *snapshot) uint64 { return read(&s.requests) }
	}
	return []metric{
		count("maestro_request_calls_total", "Calls made.",
			number(func(s *request.Stats) uint64 { return s.Calls })),
		one("maestro_request_calls_pending", "Calls that have not ended.", gauge,
			func(s *snapshot) float64 { return float64(s.requests.Pending) }),
		count("maestro_request_timeouts_total", "Calls that took longer than they might.",
			number(func(s *request.Stats) uint64 { return s.TimedOut })),
		inOut("maestro_requests_total", "Requests, repeats included.",
			number(func(s *request.Stats) uint64 { return s.Requests }),
			number(func(s *request.Stats) uint64 { return s.Sent })),
		count("maestro_request_retries_total", "Requests sent again.",
			number(func(s *request.Stats) uint64 { return s.Retries })),
		inOut("maestro_replies_total", "Replies received and wanted, and sent.",
			number(func(s *request.Stats) uint64 { return s.Replies }),
			number(func(s *request.Stats) uint64 { return s.Answers })),
		count("maestro_request_members_lost_total", "Members that left before they answered.",
			number(func(s *request.Stats) uint64 { return s.Lost })),
		{name: "maestro_request_drops_total", help: "Requests and replies that came to nothing.",
			kind: counter, labels: []string{"reason"}, read: func(s *snapshot, e emit) {
				e(float64(s.requests.Late), "late")
				e(float64(s.requests.Refused), "refused")
				e(float64(s.requests.Unsent), "unsent")
				e(float64(s.requests.Malformed), "malformed")
			}},
	}
}

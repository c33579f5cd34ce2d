package metrics

import (
	"strconv"

	"maestro/clsv"
	"maestro/wire"
)

// viewMetrics are about who is in the group.
func viewMetrics() []metric {
	return []metric{
		{name: "maestro_build_info", help: "What this program was built from; always 1.",
			kind: gauge, labels: []string{"version", "goversion", "wire"},
			read: func(s *snapshot, e emit) {
				e(1, s.build.version, s.build.goversion, s.build.wire)
			}},
		{name: "maestro_view_info", help: "The view that this member is in; always 1.",
			kind: gauge, labels: []string{"view_id", "coordinator", "primary"},
			read: view(func(v *clsv.View, e emit) {
				e(1, v.ID.String(), v.Coordinator.Name, strconv.FormatBool(v.Primary))
			})},
		{name: "maestro_view_members", help: "Members of the view by role.",
			kind: gauge, labels: []string{"role"},
			read: view(func(v *clsv.View, e emit) {
				e(float64(len(v.Servers)), "server")
				e(float64(len(v.XferServers)), "xfer_server")
				e(float64(len(v.Clients)), "client")
			})},
		{name: "maestro_view_rank", help: "Rank of this member in the view.", kind: gauge,
			read: view(func(v *clsv.View, e emit) { e(float64(v.MyRank)) })},
		{name: "maestro_view_is_coordinator", help: "Whether this member is the coordinator.",
			kind: gauge, read: view(func(v *clsv.View, e emit) { e(bit(v.MyRank == 0)) })},
		{name: "maestro_member_state", help: "The state that this member is in; always 1.",
			kind: gauge, labels: []string{"state"},
			read: func(s *snapshot, e emit) { e(1, s.State.String()) }},
		{name: "maestro_views_total", help: "Views accepted, by what brought them about; one may " +
			"count more than once.", kind: counter, labels: []string{"reason"}, read: reasons},
		one("maestro_view_change_seconds_total", "Time in view changes, from stop to install.",
			counter, func(s *snapshot) float64 { return float64(s.Stack.ViewNanosTotal) / 1e9 }),
		one("maestro_view_change_duration_seconds", "Duration of the last view change.",
			gauge, func(s *snapshot) float64 { return float64(s.Stack.ViewNanosLast) / 1e9 }),
		{name: "maestro_blocked_seconds_total", help: "Time during which nothing could be sent.",
			kind: counter, labels: []string{"cause"},
			read: func(s *snapshot, e emit) { e(float64(s.Stack.BlockedNanos)/1e9, "flush") }},
	}
}

func reasons(s *snapshot, e emit) {
	v := &s.Counts.Views
	e(float64(v.First), "first")
	e(float64(v.Joins), "join")
	e(float64(v.Departures), "departure")
	e(float64(v.Merges), "merge")
	e(float64(v.Roles), "role")
}

// view reads a view, if there is one.
func view(read func(v *clsv.View, e emit)) func(s *snapshot, e emit) {
	return func(s *snapshot, e emit) {
		if s.View != nil {
			read(s.View, e)
		}
	}
}

// packetKinds are the kinds of packets as metrics tell them apart.
var packetKinds = []struct {
	name  string
	kinds []wire.Kind
}{
	{"data", []wire.Kind{wire.KindCast, wire.KindCore, wire.KindSend}},
	{"retransmit", []wire.Kind{wire.KindRepair}},
	{"nak", []wire.Kind{wire.KindNak, wire.KindSendNak}},
	{"stability", []wire.Kind{wire.KindAnnounce, wire.KindAck, wire.KindSendAck,
		wire.KindSendMark}},
	{"heartbeat", []wire.Kind{wire.KindHeartbeat, wire.KindProbe}},
	{"membership", []wire.Kind{wire.KindSuspect, wire.KindLeave, wire.KindBlock, wire.KindFlushOk,
		wire.KindDecision, wire.KindDecided}},
	{"gossip", []wire.Kind{wire.KindPresence, wire.KindMerge, wire.KindMergeDeny, wire.KindQuery,
		wire.KindExcluded}},
}

// packets reads counters by kind of packet.
func packets(in, out func(s *snapshot) *[wire.KindCount]uint64) func(s *snapshot, e emit) {
	return func(s *snapshot, e emit) {
		for _, k := range packetKinds {
			var i, o uint64
			for _, w := range k.kinds {
				i, o = i+in(s)[w], o+out(s)[w]
			}
			e(float64(i), "in", k.name)
			e(float64(o), "out", k.name)
		}
	}
}

// inOut is a counter of both directions.
func inOut(name, help string, in, out func(s *snapshot) uint64) metric {
	return metric{name: name, help: help, kind: counter, labels: []string{"dir"},
		read: func(s *snapshot, e emit) {
			e(float64(in(s)), "in")
			e(float64(out(s)), "out")
		}}
}

// packetMetrics are about what goes in and out.
func packetMetrics() []metric {
	byKind := []string{"dir", "kind"}
	return []metric{
		{name: "maestro_packets_total", help: "Datagrams by kind.", kind: counter, labels: byKind,
			read: packets(
				func(s *snapshot) *[wire.KindCount]uint64 { return &s.Stack.PacketsIn },
				func(s *snapshot) *[wire.KindCount]uint64 { return &s.Stack.PacketsOut })},
		{name: "maestro_packet_bytes_total", help: "Bytes of datagrams by kind.", kind: counter,
			labels: byKind, read: packets(
				func(s *snapshot) *[wire.KindCount]uint64 { return &s.Stack.BytesIn },
				func(s *snapshot) *[wire.KindCount]uint64 { return &s.Stack.BytesOut })},
		{name: "maestro_messages_total", help: "Messages of the application.", kind: counter,
			labels: []string{"dir", "type"}, read: func(s *snapshot, e emit) {
				messages(&s.Received, &s.Sent, e)
			}},
		inOut("maestro_message_bytes_total", "Bytes of messages of the application.",
			func(s *snapshot) uint64 { return sum(&s.ReceivedBytes) },
			func(s *snapshot) uint64 { return sum(&s.SentBytes) }),
		{name: "maestro_receive_drops_total", help: "What was received and dropped.", kind: counter,
			labels: []string{"reason"}, read: drops},
	}
}

func messages(in, out *[4]uint64, e emit) {
	for k := range in {
		e(float64(in[k]), "in", clsv.Kind(k).String())
		e(float64(out[k]), "out", clsv.Kind(k).String())
	}
}

func sum(n *[4]uint64) uint64 { return n[0] + n[1] + n[2] + n[3] }

func drops(s *snapshot, e emit) {
	for _, d := range []struct {
		reason string
		n      uint64
	}{
		{"malformed", s.Stack.Malformed + s.Malformed + s.BadViews + s.Sockets.Truncated +
			s.Sockets.Empty},
		{"group", s.Stack.OtherGroup},
		{"view", s.Stack.OtherView},
		{"duplicate", s.Stack.Duplicates},
		{"window", s.Stack.Window},
		{"failed_member", s.Stack.FromFailed},
		{"unsafe", s.Unsafe},
		{"not_addressed", s.NotForUs},
		{"late_state", s.LateState},
	} {
		e(float64(d.n), d.reason)
	}
}

// layerMetrics are about the protocol.
func layerMetrics() []metric {
	return []metric{
		inOut("maestro_naks_total", "Requests for missing segments.",
			func(s *snapshot) uint64 { return s.Stack.NaksIn },
			func(s *snapshot) uint64 { return s.Stack.NaksOut }),
		{name: "maestro_retransmits_total", help: "Segments sent again, of this member's stream " +
			"(own) or another's (foreign).", kind: counter, labels: []string{"stream"},
			read: func(s *snapshot, e emit) {
				e(float64(s.Stack.Repairs-s.Stack.RepairsForeign), "own")
				e(float64(s.Stack.RepairsForeign), "foreign")
			}},
		count("maestro_retransmits_suppressed_total", "Segments not sent again because they just "+
			"had been.", func(s *snapshot) uint64 { return s.Stack.RepairsHushed }),
		count("maestro_flow_limited_total", "Times that the window stopped a sender.",
			func(s *snapshot) uint64 { return s.Stack.FlowLimited }),
		{name: "maestro_suspicions_total", help: "Members taken for failed, by who noticed.",
			kind: counter, labels: []string{"source"}, read: func(s *snapshot, e emit) {
				kernel := min(s.Stack.Unreachable, s.Stack.Suspicions)
				e(float64(kernel), "kernel")
				e(float64(s.Stack.Suspicions-kernel), "silence")
			}},
		count("maestro_self_stalls_total", "Times that this member itself was late.",
			func(s *snapshot) uint64 { return s.Stack.SelfStalls }),
		count("maestro_flush_rounds_total", "Rounds of flushes.",
			func(s *snapshot) uint64 { return s.Stack.FlushRounds }),
		count("maestro_flush_restarts_total", "Flushes begun again because a member failed.",
			func(s *snapshot) uint64 { return s.Stack.FlushRestarts }),
		count("maestro_decisions_adopted_total", "Decisions of lost coordinators carried on.",
			func(s *snapshot) uint64 { return s.Stack.Adopted }),
		count("maestro_merges_total", "Merges with other views.",
			func(s *snapshot) uint64 { return s.Stack.Merges }),
		count("maestro_merge_denials_total", "Requests to merge that were refused.",
			func(s *snapshot) uint64 { return s.Stack.MergeDenials }),
		count("maestro_exclusions_total", "Times that the group went on without this member.",
			func(s *snapshot) uint64 { return s.Stack.Exclusions }),
		count("maestro_block_timeouts_total", "View changes that stopped waiting for callbacks.",
			func(s *snapshot) uint64 { return s.Stack.BlockTimeouts }),
	}
}

// stateMetrics are about queues, buffers and state transfers.
func stateMetrics() []metric {
	number := func(name, help string, read func(s *snapshot) int) metric {
		return one(name, help, gauge, func(s *snapshot) float64 { return float64(read(s)) })
	}
	return []metric{
		one("maestro_xfer_active", "Whether a state transfer runs in the view.", gauge,
			func(s *snapshot) float64 { return bit(s.View != nil && len(s.View.XferServers) > 0) }),
		inOut("maestro_xfer_bytes_total", "Bytes of state, of all transfers.",
			func(s *snapshot) uint64 { return s.StateIn },
			func(s *snapshot) uint64 { return s.StateOut }),
		{name: "maestro_xfers_total", help: "State transfers of this member.", kind: counter,
			labels: []string{"event"}, read: func(s *snapshot, e emit) {
				e(float64(s.XferBegun), "begun")
				e(float64(s.XferRestarted), "restarted")
				e(float64(s.XferDone), "done")
				e(float64(s.XferExpired), "expired")
			}},
		number("maestro_xfer_delayed_messages", "Messages that wait for a state transfer to end.",
			func(s *snapshot) int { return s.Delayed }),
		number("maestro_queue_messages", "Messages that wait to be sent.",
			func(s *snapshot) int { return s.QueuedMessages }),
		number("maestro_queue_bytes", "Bytes that wait to be sent.",
			func(s *snapshot) int { return s.QueuedBytes }),
		count("maestro_queue_dropped_total", "Messages that waited and were never sent.",
			func(s *snapshot) uint64 { return s.Dropped }),
		number("maestro_callbacks_pending", "Callbacks that wait to be run.",
			func(s *snapshot) int { return s.Callbacks }),
		number("maestro_buffers", "Pooled buffers in use.",
			func(s *snapshot) int { return s.Buffers }),
	}
}

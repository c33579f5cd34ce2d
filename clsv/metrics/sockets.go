package metrics

// socketMetrics are about the sockets and the event loop; without sockets there
// are none.
func socketMetrics() []metric {
	list := []metric{
		count("maestro_socket_drops_total",
			"Datagrams that the kernel dropped because a receive buffer was full.",
			func(s *snapshot) uint64 { return s.Sockets.SocketDrops }),
		inOut("maestro_socket_syscalls_total", "System calls to send and receive.",
			func(s *snapshot) uint64 { return s.Sockets.SyscallsIn },
			func(s *snapshot) uint64 { return s.Sockets.SyscallsOut }),
		{name: "maestro_send_errors_total", help: "Errors of sending by class.", kind: counter,
			labels: []string{"errno"}, read: sendErrors},
		count("maestro_send_lost_total", "Datagrams that the kernel did not take.",
			func(s *snapshot) uint64 { return s.Sockets.LostOut }),
		count("maestro_gso_fallbacks_total", "Times that segmentation offload was turned off.",
			func(s *snapshot) uint64 { return s.Sockets.GSOFallbacks }),
		one("maestro_lifeline_held", "Whether the lifeline to the next member holds.", gauge,
			func(s *snapshot) float64 { return bit(s.Sockets.LifelineHeld) }),
		{name: "maestro_lifelines_total", help: "Lifelines that held, that broke, and of others, " +
			"closed because there were too many.", kind: counter, labels: []string{"event"},
			read: func(s *snapshot, e emit) {
				e(float64(s.Sockets.Lifelines), "held")
				e(float64(s.Sockets.LifelineBreaks), "broken")
				e(float64(s.Sockets.LifelineRefusals), "refused")
			}},
		count("maestro_event_loop_turns_total", "Turns of the event loop.",
			func(s *snapshot) uint64 { return s.Loop.Turns }),
		count("maestro_event_loop_stand_ins_total", "Callbacks so slow that another goroutine "+
			"served the protocol.", func(s *snapshot) uint64 { return s.Loop.StandIns }),
		one("maestro_event_loop_longest_turn_seconds", "Longest turn of the event loop so far, "+
			"callbacks excluded.", gauge,
			func(s *snapshot) float64 { return s.Loop.MaxTurn.Seconds() }),
	}
	for i := range list {
		read := list[i].read
		list[i].read = func(s *snapshot, e emit) {
			if s.Transport != "" {
				read(s, e)
			}
		}
	}
	return list
}

func sendErrors(s *snapshot, e emit) {
	e(float64(s.Sockets.SendEPERM), "eperm")
	e(float64(s.Sockets.SendENOBUFS), "enobufs")
	e(float64(s.Sockets.SendENETUNREACH), "enetunreach")
	e(float64(s.Sockets.SendEMSGSIZE), "emsgsize")
	e(float64(s.Sockets.SendECONNREFUSED), "econnrefused")
	e(float64(s.Sockets.SendOther), "other")
}

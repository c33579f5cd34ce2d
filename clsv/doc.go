// Package clsv is group communication for applications: members that join a
// group by name, multicast to it in agreed views, and, as clients and servers,
// keep a replicated state with a state transfer protocol. It follows Maestro's
// GroupMember and ClSv classes.
//
// # A member
//
// A Member is made from Options, of which only the name of the group is
// required, and a Handler, whose methods are the callbacks. Open joins a group
// over IP multicast on the local network; with the zero options there is
// nothing to configure.
//
//	type printer struct{ clsv.NopHandler }
//
//	func (printer) ReceiveCast(origin clsv.Endpoint, msg []byte) {
//		fmt.Printf("%v: %s\n", origin, msg)
//	}
//
//	func main() {
//		ctx := context.Background()
//		m, err := clsv.Open(ctx, clsv.Options{
//			GroupOptions: clsv.GroupOptions{Group: "chat"},
//			Handler:      printer{},
//		})
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer m.Close()
//		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
//			if _, err := m.Cast(ctx, in.Bytes()); err != nil {
//				log.Fatal(err)
//			}
//		}
//	}
//
// GroupMember is the same without clients, servers and state. Package clsvtest
// runs members in virtual time, for tests.
//
// # What is guaranteed
//
// Members that go together from one view to the next have received the same
// casts in the first. A message is received in the view in which it was sent,
// by the members of that view that it is for, at most once, and in the order of
// its sender, whatever kind of multicast it is; with GroupOptions.Total in one
// order by all. Nothing of a view is received before its AcceptedView.
//
// A view change goes like this at each member: Block, the last messages of the
// old view, ChangingView and ProposeView if some member wants them (Exchanger),
// AcceptedView. What is sent after Block has returned waits for the next view.
//
// In a partition, each side goes on with a view of its own. When they meet,
// one side's state is kept (Options.Merge); the servers of the others lose
// their place and get that state. With GroupOptions.Quorum, View.Primary tells
// which side may go on, if the application wants to know.
//
// # Servers and their state
//
// A server joins with a transfer type. With NoXfer it is a normal server at
// once. With another it is among View.XferServers first, with View.StartXfer
// set: it asks a normal server for the state in portions (AskState), whose
// Handler is asked (Handler.AskState) and answers (SendState), and says when it
// has all of it (XferDone); the next view has it in View.Servers. If there is
// no server yet, exactly one of those who join becomes one without a transfer.
//
// When the server that was asked leaves or dies, the next view shows it among
// DepartedServers, and another can be asked. When StartXfer is set again, what
// has been got so far is void.
//
// While transfers run, messages that could harm them wait, by their safety: in
// a view of ProtectedXfer those that are Generic, in one of AtomicXfer also
// those that are Safe. Messages of a higher safety overtake them; otherwise the
// order is kept. With AtomicXfer nothing changes the state during the transfer,
// and whatever the servers hold is what the newcomer needs.
//
// With FreeXfer and ProtectedXfer the state may change during the transfer. The
// view in which the newcomer asks is the point to agree on: all messages of
// earlier views belong to the state at its beginning, which every normal server
// can note in AcceptedView, and all later ones are received by the newcomer
// itself. So:
//
//   - a server with StartXfer, or whose source is among DepartedServers, begins
//     with an empty backlog, names the view in its request, and adds to the
//     backlog what it receives; when it has the snapshot of that view, it
//     applies the backlog to it, and calls XferDone;
//   - a normal server, in each AcceptedView with XferServers, keeps a snapshot of
//     its state under the view's id, until a view has none, and answers with the
//     snapshot of the view that is named.
//
// Package csx does all of that, package rsm makes a replicated machine of it.
//
// If snapshots are dear, a normal server can answer with its current state and
// let the newcomer tell by message numbers of its own what that contains.
//
// # Threads
//
// The callbacks of one member run one at a time, in order. All methods may be
// called from any goroutine and from within callbacks; those that wait for
// something that callbacks bring about do not wait there, see each of them. A
// slow callback holds up nobody else's protocol, only, by and by, those who
// send to its member; one that panics takes its member out of the group.
package clsv

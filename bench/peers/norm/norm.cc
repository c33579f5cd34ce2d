// NORM as a peer: a stream from the sender to all, by multicast, with repairs by
// NACK; and positive acknowledgements of all receivers, for flow control. It is C
// but for its header, which needs a C++ compiler.
#include <normApi.h>
#include <poll.h>

#include "../peer/peer.h"

// RATE is in bit/s. BUFFER is what may be under way.
static const double RATE = 1e9;
enum { BUFFER = 4 << 20, SEGMENT = 1400, BLOCK = 64 };

static NormInstanceHandle norm;
static NormSessionHandle session;
static NormObjectHandle out;
static long unacked, marked; // bytes since the last acknowledgement; up to the watermark
static char *part;           // a message that has come in part
static unsigned have;
static int synced;

static void cast(const char *b);

static void take(NormObjectHandle in)
{
	for (;;) {
		unsigned n = peer.size - have;
		if (!synced && !(synced = NormStreamSeekMsgStart(in)))
			return;
		if (!NormStreamRead(in, part + have, &n)) {
			synced = have = 0; // data are missing
			continue;
		}
		if (n == 0)
			return;
		have += n;
		if (have < (unsigned)peer.size)
			continue;
		have = 0;
		int kind = peer_take(part);
		if (kind >= 0) {
			char *answer = peer_message(kind);
			cast(answer);
			NormStreamFlush(out, true, NORM_FLUSH_PASSIVE);
			free(answer);
		}
	}
}

static void event(NormEvent *e)
{
	if (e->type == NORM_RX_OBJECT_UPDATED)
		take(e->object);
	else if (e->type == NORM_TX_WATERMARK_COMPLETED && marked) {
		if (NormGetAckingStatus(session) == NORM_ACK_SUCCESS) {
			unacked -= marked;
			marked = 0;
		} else
			NormResetWatermark(session);
	}
}

static void poll_in(int ms)
{
	struct pollfd p = {NormGetDescriptor(norm), POLLIN, 0};
	NormEvent e;
	if (poll(&p, 1, ms) > 0)
		while (NormGetNextEvent(norm, &e, false))
			event(&e);
}

static void cast(const char *b)
{
	for (int sent = 0; sent < peer.size;) {
		int n = unacked < BUFFER ? NormStreamWrite(out, b + sent, peer.size - sent) : 0;
		sent += n;
		unacked += n;
		if (!marked && unacked >= BUFFER / 2) {
			marked = unacked;
			NormSetWatermark(session, out, true);
		}
		if (n == 0)
			poll_in(1);
	}
	NormStreamMarkEom(out);
}

static void flush(void) { NormStreamFlush(out, true, NORM_FLUSH_PASSIVE); }

static void open_session(void)
{
	norm = NormCreateInstance();
	session = NormCreateSession(norm, peer.group, peer.port, peer.member);
	peer_check(session != NORM_SESSION_INVALID, "NormCreateSession");
	NormSetMulticastInterface(session, peer.iface);
	NormSetRxPortReuse(session, true);
	NormSetTTL(session, 1);
	NormSetTxRate(session, RATE);
	NormSetGrttEstimate(session, 0.001);
	if (!peer_streams() || peer.member > 1) {
		peer_check(NormStartReceiver(session, 2 * BUFFER), "NormStartReceiver");
		NormSetRxSocketBuffer(session, BUFFER);
	}
	if (peer_streams() && peer.member > 1)
		return;
	peer_check(NormStartSender(session, NormGetRandomSessionId(), 2 * BUFFER, SEGMENT, BLOCK, 0),
		"NormStartSender");
	NormSetTxSocketBuffer(session, BUFFER);
	for (int i = 1; i <= peer.members; i++)
		if (i != peer.member)
			NormAddAckingNode(session, i);
	out = NormStreamOpen(session, 2 * BUFFER);
	peer_check(out != NORM_OBJECT_INVALID, "NormStreamOpen");
}

int main(int argc, char **argv)
{
	struct peer_way way = {cast, poll_in, flush};
	int major, minor, patch;
	peer_init(argc, argv);
	part = peer_message(PROBE);
	NormGetVersion(&major, &minor, &patch);
	if (peer.member == 1)
		peer_say("ABOUT {\"version\":\"NORM %d.%d.%d\",\"settings\":\"stream by multicast, 1 Gbit/s, "
			"segments of %d, no parity sent ahead, all receivers acknowledge each %d MiB\"}",
			major, minor, patch, SEGMENT, (BUFFER / 2) >> 20);
	open_session();
	peer_run(&way);
}

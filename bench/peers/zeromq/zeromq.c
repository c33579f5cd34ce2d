// ZeroMQ as a peer: publish and subscribe, over TCP or, as variant pgm, over PGM in
// UDP (epgm). The way back of the round trip is a second publisher.
#include <zmq.h>

#include "../peer/peer.h"

static void *out, *in;

// RATE is PGM's, in kbit/s; RECOVERY how long it keeps what it has sent, in ms. The
// defaults, 100 kbit/s and 10 s, are not meant for a LAN.
enum { RATE = 1000000, RECOVERY = 500 };

static int pgm(void) { return !strcmp(peer.variant, "pgm"); }

static void endpoint(char *to, size_t n, int sender)
{
	if (pgm())
		snprintf(to, n, "epgm://%s;%s:%d", peer.hosts[peer.member - 1], peer.group,
			peer.port + sender); // OpenPGM does not find an interface by its name
	else
		snprintf(to, n, "tcp://%s:%d", peer.hosts[sender - 1], peer.port + sender);
}

static void *open_socket(void *ctx, int type, int sender)
{
	char url[128];
	int one = 1, zero = 0, rate = RATE, recovery = RECOVERY, buffer = 4 << 20;
	void *s = zmq_socket(ctx, type);
	peer_check(s != NULL, "zmq_socket");
	zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero);
	zmq_setsockopt(s, ZMQ_RATE, &rate, sizeof rate);
	if (pgm()) {
		zmq_setsockopt(s, ZMQ_RCVBUF, &buffer, sizeof buffer);
		zmq_setsockopt(s, ZMQ_SNDBUF, &buffer, sizeof buffer);
	}
	zmq_setsockopt(s, ZMQ_RECOVERY_IVL, &recovery, sizeof recovery);
	endpoint(url, sizeof url, sender);
	if (type == ZMQ_SUB) {
		zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0);
		peer_check(!zmq_connect(s, url), url);
	} else {
		zmq_setsockopt(s, ZMQ_XPUB_NODROP, &one, sizeof one);
		peer_check(!(pgm() ? zmq_connect(s, url) : zmq_bind(s, url)), url);
	}
	return s;
}

static void cast(const char *b) { peer_check(zmq_send(out, b, peer.size, 0) >= 0, "zmq_send"); }

static void flush(void) {}

static void poll_in(int ms)
{
	zmq_pollitem_t item = {in, 0, ZMQ_POLLIN, 0};
	if (!in) {
		peer_sleep(ms / 1e3);
		return;
	}
	if (zmq_poll(&item, 1, ms) <= 0)
		return;
	for (int i = 0; i < 1000; i++) {
		zmq_msg_t m;
		zmq_msg_init(&m);
		if (zmq_msg_recv(&m, in, ZMQ_DONTWAIT) < 0)
			return;
		int kind = peer_take(zmq_msg_data(&m));
		zmq_msg_close(&m);
		if (kind >= 0) {
			char *answer = peer_message(kind);
			cast(answer);
			free(answer);
		}
	}
}

int main(int argc, char **argv)
{
	struct peer_way way = {cast, poll_in, flush};
	int major, minor, patch;
	peer_init(argc, argv);
	zmq_version(&major, &minor, &patch);
	if (pgm() && !zmq_has("pgm")) {
		peer_say("SKIP this libzmq is built without PGM");
		peer_exit(0);
	}
	if (peer.member == 1 && pgm())
		peer_say("ABOUT {\"version\":\"libzmq %d.%d.%d with OpenPGM\",\"settings\":\"PUB/SUB, epgm, "
			"rate 1 Gbit/s, recovery interval %d ms, socket buffers 4 MiB\"}", major, minor, patch, RECOVERY);
	else if (peer.member == 1)
		peer_say("ABOUT {\"version\":\"libzmq %d.%d.%d\",\"settings\":\"XPUB/SUB, TCP, a connection to "
			"each, high-water marks 1000, XPUB_NODROP\"}", major, minor, patch);
	void *ctx = zmq_ctx_new();
	if (peer.member == 1)
		out = open_socket(ctx, pgm() ? ZMQ_PUB : ZMQ_XPUB, 1);
	else
		in = open_socket(ctx, ZMQ_SUB, 1);
	if (!peer_streams() && peer.member == 1)
		in = open_socket(ctx, ZMQ_SUB, 2);
	else if (!peer_streams())
		out = open_socket(ctx, pgm() ? ZMQ_PUB : ZMQ_XPUB, 2);
	peer_run(&way);
}

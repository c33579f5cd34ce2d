// What the adapters in C and C++ share: their side of the protocol that bench/peers
// describes. One process, one member; peer_init starts a thread that reads
// standard input and ends the process when that ends.
#ifndef PEER_H
#define PEER_H

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PROBE, DATA, PING, PONG }; // the first byte of a message

static struct {
	int member, members, size, ms, count, port;
	char mode[16], variant[16], iface[32], group[32], dir[256];
	char hosts[64][48]; // by member from 0
} peer;

// What standard input has said: "go", and how much was sent.
static volatile int peer_go;
static volatile long peer_end = -1;
static long peer_heard, peer_first, peer_last, peer_pongs;
static int peer_ready_said;

// Called before the process ends, if set.
static void (*peer_cleanup)(void);

static inline long peer_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void peer_sleep(double seconds)
{
	struct timespec t = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
	nanosleep(&t, NULL);
}

static void peer_say(const char *format, ...)
{
	va_list a;
	va_start(a, format);
	vprintf(format, a);
	va_end(a);
	putchar('\n');
	fflush(stdout);
}

static void peer_exit(int code)
{
	if (peer_cleanup)
		peer_cleanup();
	_exit(code);
}

static void peer_check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	peer_exit(1);
}

static void peer_ready(void)
{
	if (!peer_ready_said)
		peer_say("READY");
	peer_ready_said = 1;
}

static void peer_rest(void)
{
	for (;;)
		pause();
}

static void *peer_obey(void *arg)
{
	char line[128];
	long n;
	while (fgets(line, sizeof line, stdin)) {
		if (!strncmp(line, "go", 2))
			peer_go = 1;
		else if (sscanf(line, "end %ld", &n) == 1)
			peer_end = n;
	}
	peer_exit(0);
	return arg;
}

static void peer_arg(char *key, char *value)
{
	struct { const char *key; int *to; } ints[] = {{"member", &peer.member},
		{"members", &peer.members}, {"size", &peer.size}, {"ms", &peer.ms},
		{"count", &peer.count}, {"port", &peer.port}};
	struct { const char *key; char *to; size_t n; } texts[] = {{"mode", peer.mode, 16},
		{"variant", peer.variant, 16}, {"iface", peer.iface, 32}, {"group", peer.group, 32},
		{"dir", peer.dir, 256}};
	for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
		if (!strcmp(key, ints[i].key))
			*ints[i].to = atoi(value);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (!strcmp(key, texts[i].key))
			snprintf(texts[i].to, texts[i].n, "%s", value);
	if (!strcmp(key, "hosts"))
		for (int i = 0; i < 64 && value; i++) {
			char *host = strsep(&value, ",");
			snprintf(peer.hosts[i], sizeof *peer.hosts, "%s", host);
		}
}

static void peer_init(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		if (value) {
			*value++ = 0;
			peer_arg(argv[i], value);
		}
	}
	pthread_t t;
	peer_check(!pthread_create(&t, NULL, peer_obey, NULL), "thread");
}

static char *peer_message(int kind)
{
	char *b = (char *)calloc(1, peer.size);
	b[0] = kind;
	return b;
}

static int peer_streams(void) { return !strcmp(peer.mode, "stream"); }

// peer_take takes a message that has been delivered, and returns the kind of the
// answer to give to its sender, or -1.
static inline int peer_take(const char *b)
{
	switch (b[0]) {
	case PROBE:
		peer_ready();
		return !peer_streams() && peer.member == 2 ? PROBE : -1;
	case DATA:
		peer_last = peer_now();
		if (!peer_heard++)
			peer_first = peer_last;
		return -1;
	case PING:
		return PONG;
	case PONG:
		peer_pongs++;
	}
	return -1;
}

// peer_over tells, now and then, whether a receiver has all that was sent, or
// nothing more comes, and says the result.
static int peer_over(void)
{
	long end = peer_end;
	if (end < 0 || (peer_heard && peer_heard < end && peer_now() - peer_last < 1000000000L))
		return 0;
	peer_say("RESULT {\"count\":%ld,\"seconds\":%.9f}", peer_heard,
		(peer_last - peer_first) / 1e9);
	return 1;
}

static int peer_by_value(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;
	return (x > y) - (x < y);
}

// What an adapter gives: cast sends one message to all others, when it may be
// sent; poll takes what comes for at most some milliseconds; flush has what was
// cast leave.
struct peer_way {
	void (*cast)(const char *b);
	void (*poll)(int ms);
	void (*flush)(void);
};

static void peer_rounds(struct peer_way *w)
{
	char *ping = peer_message(PING);
	int warm = peer.count / 10, n = 0;
	long *took = (long *)calloc(peer.count, sizeof *took);
	long limit = peer_now() + peer.ms * 1000000L, cold = limit - peer.ms * 750000L;
	for (int i = 0; n < peer.count && (n == 0 || peer_now() < limit); i++) {
		long began = peer_now(), had = peer_pongs;
		w->cast(ping);
		w->flush();
		while (peer_pongs == had) {
			w->poll(100);
			peer_check(peer_now() - began < 5000000000L, "no pong");
		}
		if (i >= warm || began > cold)
			took[n++] = peer_now() - began;
	}
	qsort(took, n, sizeof *took, peer_by_value);
	peer_say("RESULT {\"count\":%d,\"p50_us\":%.3f,\"p99_us\":%.3f}", n,
		took[(n - 1) / 2] / 1e3, took[(int)(.99 * (n - 1))] / 1e3);
}

// peer_run does this member's part, and does not return.
static void peer_run(struct peer_way *w)
{
	if (peer.member > 1) {
		do
			w->poll(10);
		while (!peer_streams() || !peer_over());
		peer_rest();
	}
	if (peer_streams())
		peer_ready();
	for (char *probe = peer_message(PROBE); !peer_go;) {
		w->cast(probe);
		w->flush();
		w->poll(50);
	}
	if (!peer_streams()) {
		peer_rounds(w);
		peer_rest();
	}
	char *data = peer_message(DATA);
	long n = 0, end = peer_now() + peer.ms * 1000000L;
	for (; n % 16 || peer_now() < end; n++)
		w->cast(data);
	w->flush();
	peer_say("SENT %ld", n);
	for (;;)
		w->poll(100);
}

#endif

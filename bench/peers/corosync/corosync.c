// Corosync's closed process groups (CPG) as a peer. Each member has a daemon of
// its own, with files of its own: /run and the like are empty in its mount namespace.
#include <corosync/cpg.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <poll.h>

#include "../peer/peer.h"

static cpg_handle_t cpg;
static pid_t daemon_pid;
static int joined, fd;

static void stop(void)
{
	if (daemon_pid > 0)
		kill(daemon_pid, SIGKILL);
}

static void cast(const char *b)
{
	struct iovec v = {(void *)b, peer.size};
	for (long tries = 0;; tries++) {
		cs_error_t e = cpg_mcast_joined(cpg, CPG_TYPE_AGREED, &v, 1);
		if (e == CS_OK)
			return;
		peer_check(e == CS_ERR_TRY_AGAIN && tries < 100000, "cpg_mcast_joined");
		cpg_dispatch(cpg, CS_DISPATCH_ALL);
		peer_sleep(20e-6);
	}
}

static void deliver(cpg_handle_t h, const struct cpg_name *g, uint32_t node, uint32_t pid,
	void *b, size_t n)
{
	if ((int)node == peer.member || (int)n < peer.size)
		return;
	int kind = peer_take(b);
	if (kind >= 0) {
		char *answer = peer_message(kind);
		cast(answer);
		free(answer);
	}
	(void)h, (void)g, (void)pid;
}

static void confchg(cpg_handle_t h, const struct cpg_name *g, const struct cpg_address *m,
	size_t members, const struct cpg_address *l, size_t left, const struct cpg_address *j,
	size_t n)
{
	joined = members;
	(void)h, (void)g, (void)m, (void)l, (void)left, (void)j, (void)n;
}

static void poll_in(int ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	if (poll(&p, 1, ms) > 0)
		cpg_dispatch(cpg, CS_DISPATCH_ALL);
}

static void flush(void) {}

static void configure(const char *file)
{
	FILE *f = fopen(file, "w");
	peer_check(f != NULL, file);
	fprintf(f, "totem {\nversion: 2\ncluster_name: bench\ntransport: udp\ncrypto_cipher: none\n"
		"crypto_hash: none\ninterface {\nringnumber: 0\nbindnetaddr: %s\nmcastaddr: %s\n"
		"mcastport: %d\n}\n}\nlogging {\nto_stderr: yes\nto_syslog: no\nto_logfile: no\n}\nnodelist {\n",
		peer.hosts[peer.member - 1], peer.group, peer.port);
	for (int i = 0; i < peer.members; i++)
		fprintf(f, "node {\nnodeid: %d\nname: m%d\nring0_addr: %s\n}\n", i + 1, i + 1, peer.hosts[i]);
	fprintf(f, "}\n");
	fclose(f);
}

// start starts the daemon where nothing that it writes is seen by others.
static void start(void)
{
	const char *dirs[] = {"/run", "/var/lib/corosync", "/var/log", "/dev/shm", "/tmp"};
	peer_check(!unshare(CLONE_NEWNS) && !mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL),
		"mount namespace");
	for (int i = 0; i < 5; i++)
		peer_check(!mount("tmpfs", dirs[i], "tmpfs", 0, i == 3 ? "mode=1777" : ""), dirs[i]);
	configure("/run/bench.conf");
	daemon_pid = fork();
	if (daemon_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(2, 1);
		execlp("corosync", "corosync", "-f", "-c", "/run/bench.conf", NULL);
		_exit(127);
	}
	peer_cleanup = stop;
}

static void about(void)
{
	char line[128] = "?";
	FILE *f = popen("corosync -v", "r");
	if (f) {
		if (fgets(line, sizeof line, f))
			line[strcspn(line, "\n")] = 0;
		pclose(f);
	}
	for (char *c = line; *c; c++)
		if (*c == '\'' || *c == '"' || *c == '\\')
			*c = ' ';
	peer_say("ABOUT {\"version\":\"%s\",\"settings\":\"CPG agreed, a daemon beside each member; totem "
		"over UDP multicast, defaults, no encryption\"}", line);
}

int main(int argc, char **argv)
{
	struct peer_way way = {cast, poll_in, flush};
	cpg_callbacks_t calls = {.cpg_deliver_fn = deliver, .cpg_confchg_fn = confchg};
	struct cpg_name name = {.length = 5, .value = "bench"};
	peer_init(argc, argv);
	if (peer.member == 1)
		about();
	start();
	cs_error_t e = CS_ERR_TRY_AGAIN;
	for (int i = 0; i < 200 && e != CS_OK; i++) {
		peer_check(waitpid(daemon_pid, NULL, WNOHANG) == 0, "corosync has ended");
		peer_sleep(.1);
		e = cpg_initialize(&cpg, &calls);
	}
	peer_check(e == CS_OK, "cpg_initialize");
	for (int i = 0; i < 200 && (e = cpg_join(cpg, &name)) != CS_OK; i++)
		peer_sleep(.1);
	peer_check(e == CS_OK && cpg_fd_get(cpg, &fd) == CS_OK, "cpg_join");
	for (int i = 0; i < 200 && joined < peer.members; i++)
		poll_in(100);
	peer_check(joined >= peer.members, "group not whole");
	peer_run(&way);
}

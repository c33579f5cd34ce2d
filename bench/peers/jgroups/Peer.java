// JGroups as a peer: the stack udp.xml that it comes with, or, as variant total,
// sequencer.xml.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

import org.jgroups.Address;
import org.jgroups.JChannel;
import org.jgroups.Message;
import org.jgroups.ReceiverAdapter;
import org.jgroups.Version;

public class Peer extends ReceiverAdapter {
    static final byte PROBE = 0, DATA = 1, PING = 2, PONG = 3;

    final Map<String, String> args = new HashMap<>();
    final CountDownLatch go = new CountDownLatch(1);
    final AtomicLong end = new AtomicLong(-1);
    final Semaphore pongs = new Semaphore(0);
    final boolean stream;
    final int member, members, size;
    JChannel channel;
    boolean ready;
    long count, first, last; // under this object's lock

    Peer(String[] argv) {
        for (String a : argv) {
            int i = a.indexOf('=');
            args.put(a.substring(0, i), a.substring(i + 1));
        }
        stream = args.get("mode").equals("stream");
        member = number("member");
        members = number("members");
        size = number("size");
    }

    int number(String key) { return Integer.parseInt(args.get(key)); }

    static void say(String s) {
        System.out.println(s);
        System.out.flush();
    }

    void obey() {
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in))) {
            for (String l; (l = in.readLine()) != null;) {
                if (l.equals("go"))
                    go.countDown();
                else if (l.startsWith("end "))
                    end.set(Long.parseLong(l.substring(4)));
            }
        } catch (Exception e) {
            // as at the end
        }
        Runtime.getRuntime().halt(0);
    }

    byte[] message(byte kind) {
        byte[] b = new byte[size];
        b[0] = kind;
        return b;
    }

    synchronized void ready() {
        if (!ready)
            say("READY");
        ready = true;
    }

    @Override
    public void receive(Message m) {
        if (m.getSrc().equals(channel.getAddress()))
            return;
        byte kind = m.getRawBuffer()[m.getOffset()];
        if (kind == DATA) {
            synchronized (this) {
                last = System.nanoTime();
                if (count++ == 0)
                    first = last;
            }
        } else if (kind == PROBE) {
            ready();
            if (!stream && member == 2)
                send(m.getSrc(), message(PROBE));
        } else if (kind == PING) {
            send(m.getSrc(), message(PONG));
        } else {
            pongs.release();
        }
    }

    void send(Address to, byte[] b) {
        try {
            channel.send(new Message(to, null, b));
        } catch (Exception e) {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    void run() throws Exception {
        Thread t = new Thread(this::obey);
        t.setDaemon(true);
        t.start();
        boolean total = args.get("variant").equals("total");
        String stack = total ? "sequencer.xml" : "udp.xml";
        System.setProperty("jgroups.udp.mcast_port", args.get("port"));
        System.setProperty("jgroups.udp.mcast_addr", args.get("group"));
        System.setProperty("jgroups.bind_addr", args.get("hosts").split(",")[member - 1]);
        if (member == 1)
            say("ABOUT {\"version\":\"JGroups " + Version.description + ", Java "
                + System.getProperty("java.version") + "\",\"settings\":\"" + stack
                + " as it comes, UDP multicast\"}");
        // The first is the coordinator, and so the sequencer.
        Thread.sleep(member == 1 ? 0 : 2500 + 200 * member);
        channel = new JChannel(stack);
        channel.setReceiver(this);
        channel.connect("bench");
        while (channel.getView().size() < members)
            Thread.sleep(20);
        if (member > 1)
            receiveAll();
        if (stream)
            ready();
        do
            send(null, message(PROBE));
        while (!go.await(50, TimeUnit.MILLISECONDS));
        if (!stream)
            rounds();
        byte[] b = message(DATA);
        long n = 0, until = System.nanoTime() + number("ms") * 1_000_000L;
        for (; System.nanoTime() < until; n++)
            send(null, b);
        say("SENT " + n);
        rest();
    }

    void receiveAll() throws Exception {
        while (stream) {
            Thread.sleep(10);
            long all = end.get();
            synchronized (this) {
                if (all < 0 || count > 0 && count < all && System.nanoTime() - last < 2_000_000_000L)
                    continue;
                say(String.format("RESULT {\"count\":%d,\"seconds\":%.9f}", count, (last - first) / 1e9));
                break;
            }
        }
        rest();
    }

    void rounds() throws Exception {
        int count = number("count"), warm = count / 10, n = 0;
        long[] took = new long[warm + count];
        byte[] b = message(PING);
        long limit = System.nanoTime() + number("ms") * 1_000_000L;
        long cold = limit - number("ms") * 750_000L;
        for (int i = 0; i < warm + count; i++) {
            long began = System.nanoTime();
            if (n > 0 && began > limit)
                break;
            send(null, b);
            if (!pongs.tryAcquire(5, TimeUnit.SECONDS))
                throw new Exception("no pong");
            if (i >= warm || began > cold)
                took[n++] = System.nanoTime() - began;
        }
        Arrays.sort(took, 0, n);
        say(String.format("RESULT {\"count\":%d,\"p50_us\":%.3f,\"p99_us\":%.3f}", n,
            took[(n - 1) / 2] / 1e3, took[(int) (.99 * (n - 1))] / 1e3));
        rest();
    }

    static void rest() throws InterruptedException { Thread.sleep(Long.MAX_VALUE); }

    public static void main(String[] argv) throws Exception {
        new Peer(argv).run();
    }
}

/** Says when a contestant began and ended: two lines of JSON on standard output, read by the one who started it. */
public final class Report {
    private static final com.sun.management.OperatingSystemMXBean SYSTEM =
        (com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean();

    private final long history;
    private final long records;
    private long seen;
    private long ofHistory;

    /** With history, the measurement begins when the last record of it was read; without, at the first record. */
    public Report(long history, long records) {
        this.history = history;
        this.records = records;
    }

    /** Counts one record of the session. */
    public void record() {
        if (seen++ == 0 && history == 0) {
            say("start");
        }
        if (seen == records) {
            say("end");
        }
    }

    /** Counts one record of the history. */
    public void historyRecord() {
        seen++;
        if (++ofHistory == history) {
            say("start");
        }
        if (seen == records) {
            say("end");
        }
    }

    private void say(String at) {
        System.out.printf(
            "{\"at\":\"%s\",\"records\":%d,\"wall\":%.6f,\"cpu\":%.6f}%n",
            at, seen, System.nanoTime() / 1e9, SYSTEM.getProcessCpuTime() / 1e9);
        System.out.flush();
    }
}

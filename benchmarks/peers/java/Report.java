/** Says when a contestant began and ended: two lines of JSON on standard output, read by the one who started it. */
public final class Report {
    private static final com.sun.management.OperatingSystemMXBean SYSTEM =
        (com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean();

    private final long history;
    private final long opening;
    private final long records;
    private long seen;
    private long ofHistory;
    private boolean begun;

    /**
     * With history, the measurement begins when all of it and a tenth of the session were read; without, at the first
     * record.
     */
    public Report(long history, long records) {
        this.history = history;
        this.records = records;
        opening = history == 0 ? 1 : history + (records - history) / 10;
    }

    /** Counts one record of the session. */
    public void record() {
        seen++;
        if (!begun && ofHistory == history && seen >= opening) {
            begun = true;
            say("start");
        }
        if (seen == records) {
            say("end");
        }
    }

    /** Counts one record of the history. */
    public void historyRecord() {
        ofHistory++;
        record();
    }

    private void say(String at) {
        System.out.printf(
            "{\"at\":\"%s\",\"records\":%d,\"wall\":%.6f,\"cpu\":%.6f}%n",
            at, seen, System.nanoTime() / 1e9, SYSTEM.getProcessCpuTime() / 1e9);
        System.out.flush();
    }
}

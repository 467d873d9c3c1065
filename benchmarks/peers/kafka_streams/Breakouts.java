import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.LocalDate;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Breakouts on both sides with a year of history, in the Processor API.
 *
 * <p>Daily bars go into a store of their own, a row each. The first trade of a session scans the year before it once
 * and keeps both levels in a small row, which is all that the other trades of the session read. That is the cheapest
 * way we found: one row with the whole year would be read and decoded for every trade.
 */
public final class Breakouts implements Processor<String, byte[], String, byte[]> {
    private static final String BARS = "bars";
    private static final String LEVELS = "levels";
    private static final int LOOKBACK_DAYS = 364;

    private static Settings settings;
    private static Report report;
    private static String session;
    private static String opens;
    private static String closes;
    private static String oldest;

    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> bars;
    private KeyValueStore<String, byte[]> levels;

    public static void main(String[] arguments) {
        settings = new Settings(arguments);
        session = arguments[10];
        opens = arguments[11];
        closes = arguments[12];
        oldest = LocalDate.parse(session).minusDays(LOOKBACK_DAYS).toString();
        report = new Report(settings.history, settings.records);
        Topology topology = new Topology();
        topology.addSource("ticks", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), settings.topic);
        topology.addProcessor("fold", Breakouts::new, "ticks");
        for (String name : new String[] {BARS, LEVELS}) {
            topology.addStateStore(
                Stores.keyValueStoreBuilder(settings.supplier(name), Serdes.String(), Serdes.ByteArray())
                    .withCachingEnabled(),
                "fold");
        }
        topology.addSink("out", settings.output, Serdes.String().serializer(), Serdes.ByteArray().serializer(), "fold");
        settings.run(topology);
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
        this.bars = context.getStateStore(BARS);
        this.levels = context.getStateStore(LEVELS);
    }

    @Override
    public void process(Record<String, byte[]> record) {
        Tick tick;
        try {
            tick = Tick.READER.readValue(record.value());
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
        if (tick.type == null) {
            trade(record, tick);
            report.record();
        } else if (tick.type.equals("bar")) {
            byte[] bar = ByteBuffer.allocate(16).putDouble(tick.high).putDouble(tick.low).array();
            bars.put(tick.instrument + "|" + tick.sessionDate, bar);
            report.historyRecord();
        } else {
            report.record();
        }
    }

    private void trade(Record<String, byte[]> record, Tick tick) {
        // Times are text in one format, so that text compares as time does; a fraction sorts before the Z.
        if (tick.time.compareTo(opens) < 0 || tick.time.compareTo(closes) >= 0) {
            return;
        }
        byte[] row = levels.get(tick.instrument);
        Levels level = row == null ? null : Levels.read(row);
        boolean changed = false;
        if (level == null || !level.session.equals(session)) {
            level = scan(tick.instrument);
            changed = true;
        }
        if (!level.brokenUp && tick.price > level.high) {
            level.brokenUp = true;
            changed = true;
            forward(record, tick, "up", level.high, level.highDate);
        }
        if (!level.brokenDown && tick.price < level.low) {
            level.brokenDown = true;
            changed = true;
            forward(record, tick, "down", level.low, level.lowDate);
        }
        if (changed) {
            levels.put(tick.instrument, level.write());
        }
    }

    private Levels scan(String instrument) {
        Levels level = new Levels(session);
        String from = instrument + "|" + oldest;
        String to = instrument + "|" + session;
        try (KeyValueIterator<String, byte[]> rows = bars.range(from, to)) {
            while (rows.hasNext()) {
                KeyValue<String, byte[]> row = rows.next();
                String date = row.key.substring(instrument.length() + 1);
                if (date.compareTo(session) < 0) {
                    ByteBuffer bar = ByteBuffer.wrap(row.value);
                    level.take(date, bar.getDouble(), bar.getDouble());
                }
            }
        }
        return level;
    }

    private void forward(Record<String, byte[]> record, Tick tick, String side, double level, String date) {
        String value = "{\"instrument\":\"" + tick.instrument + "\",\"side\":\"" + side + "\",\"price\":\"" + tick.price
            + "\",\"time\":\"" + tick.time + "\",\"level\":\"" + level + "\",\"level_date\":\"" + date + "\"}";
        context.forward(record.withKey(tick.instrument).withValue(value.getBytes(StandardCharsets.UTF_8)));
    }

    /** Both levels of one session, and whether they were passed. */
    private static final class Levels {
        final String session;
        double high = Double.NEGATIVE_INFINITY;
        double low = Double.POSITIVE_INFINITY;
        String highDate = "0000-00-00";
        String lowDate = "0000-00-00";
        boolean brokenUp;
        boolean brokenDown;

        Levels(String session) {
            this.session = session;
        }

        // Of equal prices the latest session counts; bars come in the order of their dates.
        void take(String date, double high, double low) {
            if (high >= this.high) {
                this.high = high;
                this.highDate = date;
            }
            if (low <= this.low) {
                this.low = low;
                this.lowDate = date;
            }
        }

        static Levels read(byte[] row) {
            ByteBuffer buffer = ByteBuffer.wrap(row);
            Levels level = new Levels(text(buffer));
            level.high = buffer.getDouble();
            level.low = buffer.getDouble();
            level.highDate = text(buffer);
            level.lowDate = text(buffer);
            level.brokenUp = buffer.get() == 1;
            level.brokenDown = buffer.get() == 1;
            return level;
        }

        byte[] write() {
            return ByteBuffer.allocate(48)
                .put(session.getBytes(StandardCharsets.ISO_8859_1))
                .putDouble(high)
                .putDouble(low)
                .put(highDate.getBytes(StandardCharsets.ISO_8859_1))
                .put(lowDate.getBytes(StandardCharsets.ISO_8859_1))
                .put((byte) (brokenUp ? 1 : 0))
                .put((byte) (brokenDown ? 1 : 0))
                .array();
        }

        private static String text(ByteBuffer buffer) {
            byte[] date = new byte[10];
            buffer.get(date);
            return new String(date, StandardCharsets.ISO_8859_1);
        }
    }
}

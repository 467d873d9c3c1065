import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The running maximum of each instrument, in the Processor API: every new maximum is written out. */
public final class RunningMaximum implements Processor<String, byte[], String, byte[]> {
    private static Settings settings;
    private static final String STORE = "maximum";

    private static Report report;
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, Double> maximum;

    public static void main(String[] arguments) {
        settings = new Settings(arguments);
        report = new Report(settings.history, settings.records);
        Topology topology = new Topology();
        topology.addSource("ticks", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), settings.topic);
        topology.addProcessor("fold", RunningMaximum::new, "ticks");
        topology.addStateStore(
            Stores.keyValueStoreBuilder(settings.supplier(STORE), Serdes.String(), Serdes.Double()).withCachingEnabled(),
            "fold");
        topology.addSink("out", settings.output, Serdes.String().serializer(), Serdes.ByteArray().serializer(), "fold");
        settings.run(topology);
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
        this.maximum = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
        Tick tick;
        try {
            tick = Tick.READER.readValue(record.value());
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
        Double best = maximum.get(tick.instrument);
        if (best == null || tick.price > best) {
            maximum.put(tick.instrument, tick.price);
            String value = "{\"instrument\":\"" + tick.instrument + "\",\"price\":\"" + tick.price + "\"}";
            context.forward(record.withKey(tick.instrument).withValue(value.getBytes(StandardCharsets.UTF_8)));
        }
        report.record();
    }
}

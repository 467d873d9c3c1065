import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** The running maximum of each instrument as a DataStream job of parallelism one, in one Java process. */
public final class RunningMaximum {
    private static Report report;

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        String topic = arguments[1];
        String output = arguments[2];
        String group = arguments[3];
        boolean durable = arguments[4].equals("rocksdb");
        String folder = arguments[5];
        report = new Report(0, Long.parseLong(arguments[6]));

        Configuration configuration = new Configuration();
        configuration.setString("state.backend.type", durable ? "rocksdb" : "hashmap");
        configuration.setString("execution.checkpointing.incremental", "true");
        configuration.setString("execution.checkpointing.dir", "file://" + folder);
        configuration.setString("taskmanager.memory.managed.size", "256m");
        configuration.setString("rest.port", "0");
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
        environment.getConfig().enableObjectReuse();
        if (durable) {
            environment.enableCheckpointing(1000);
        }
        KafkaSource<Tick> source = KafkaSource.<Tick>builder()
            .setBootstrapServers(bootstrap)
            .setTopics(topic)
            .setGroupId(group)
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setProperty("fetch.max.wait.ms", "10")
            .setProperty("max.poll.records", "5000")
            .setProperty("max.partition.fetch.bytes", String.valueOf(4 << 20))
            .setValueOnlyDeserializer(new TickSchema())
            .build();
        KafkaSink<String[]> sink = KafkaSink.<String[]>builder()
            .setBootstrapServers(bootstrap)
            .setDeliveryGuarantee(durable ? DeliveryGuarantee.AT_LEAST_ONCE : DeliveryGuarantee.NONE)
            .setProperty("batch.size", "262144")
            .setProperty("linger.ms", "10")
            .setRecordSerializer(KafkaRecordSerializationSchema.<String[]>builder()
                .setTopic(output)
                .setKeySerializationSchema(new Part(0))
                .setValueSerializationSchema(new Part(1))
                .build())
            .build();
        environment.fromSource(source, WatermarkStrategy.noWatermarks(), "ticks")
            .keyBy(tick -> tick.instrument)
            .process(new Fold())
            .sinkTo(sink);
        environment.execute("running maximum");
    }

    /** A trade; public fields and an empty constructor make it a type that Flink serialises by itself. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    public static final class Tick {
        public String instrument;
        public double price;

        public Tick() {}
    }

    /** Reads a trade's JSON. */
    private static final class TickSchema extends AbstractDeserializationSchema<Tick> {
        private transient ObjectReader reader;

        @Override
        public void open(InitializationContext context) {
            reader = new ObjectMapper().readerFor(Tick.class);
        }

        @Override
        public Tick deserialize(byte[] message) throws IOException {
            return reader.readValue(message);
        }
    }

    /** Writes the key or the value of an output; Flink asks for its type, which a lambda does not have. */
    private static final class Part implements SerializationSchema<String[]> {
        private final int part;

        Part(int part) {
            this.part = part;
        }

        @Override
        public byte[] serialize(String[] record) {
            return record[part].getBytes(StandardCharsets.UTF_8);
        }
    }

    /** Keeps the maximum and sends each new one. */
    private static final class Fold extends KeyedProcessFunction<String, Tick, String[]> {
        private transient ValueState<Double> maximum;

        @Override
        public void open(OpenContext context) {
            maximum = getRuntimeContext().getState(new ValueStateDescriptor<>("maximum", Types.DOUBLE));
        }

        @Override
        public void processElement(Tick tick, Context context, Collector<String[]> out) throws IOException {
            Double best = maximum.value();
            if (best == null || tick.price > best) {
                maximum.update(tick.price);
                String value = "{\"instrument\":\"" + tick.instrument + "\",\"price\":\"" + tick.price + "\"}";
                out.collect(new String[] {tick.instrument, value});
            }
            report.record();
        }
    }
}

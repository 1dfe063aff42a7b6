package bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.module.blackbird.BlackbirdModule;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * Stage 1 in Flink: keyed state and event-time timers, a checkpoint to the local disk every 10 s, in one JVM.
 *
 * <p>--backend=hashmap|rocksdb, --threads=N. It prints `first` with the first record, and after the last of
 * --records it stops with a savepoint, which commits, and prints `done`. State goes to the disk and not to Kafka, as is usual in Flink.
 */
public final class CartsJob {
    private CartsJob() {}

    public static void main(String[] arguments) throws Exception {
        Flags flags = new Flags(arguments);
        Configuration options = new Configuration();
        options.setString("state.backend.type", flags.get("backend"));
        options.setString("execution.checkpointing.storage", "filesystem");
        options.setString("execution.checkpointing.dir", "file://" + flags.get("folder") + "/checkpoints");
        options.setString("execution.checkpointing.interval", "10 s");
        options.setString("execution.checkpointing.incremental", "true");
        options.setString("io.tmp.dirs", flags.get("folder"));
        options.setString("pipeline.object-reuse", "true");
        options.setString("taskmanager.numberOfTaskSlots", flags.get("threads"));
        options.setString("taskmanager.memory.managed.size", "512m");
        options.setString("rest.port", "0");
        StreamExecutionEnvironment environment =
                StreamExecutionEnvironment.createLocalEnvironment(flags.number("threads"), options);
        KafkaSource<Event> source = KafkaSource.<Event>builder()
                .setBootstrapServers(flags.get("bootstrap"))
                .setTopics(flags.get("input"))
                .setGroupId(flags.get("group"))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setValueOnlyDeserializer(new Reading())
                .build();
        KafkaSink<Outcome> sink = KafkaSink.<Outcome>builder()
                .setBootstrapServers(flags.get("bootstrap"))
                .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
                .setProperty("compression.type", "lz4")
                .setRecordSerializer(KafkaRecordSerializationSchema.<Outcome>builder()
                        .setTopic(flags.get("output"))
                        .setKeySerializationSchema((SerializationSchema<Outcome>) outcome -> outcome.cartId.getBytes())
                        .setValueSerializationSchema(new Writing())
                        .build())
                .build();
        environment
                .fromSource(
                        source,
                        WatermarkStrategy.<Event>forMonotonousTimestamps()
                                .withTimestampAssigner((event, before) -> event.at()),
                        "events")
                .keyBy(event -> event.cartId)
                .process(new CartFunction())
                .sinkTo(sink);
        JobClient job = environment.executeAsync("carts");
        Progress.waitFor(flags.number("records"));
        job.stopWithSavepoint(true, "file://" + flags.get("folder") + "/savepoint", SavepointFormatType.NATIVE).get();
        System.out.println("done");
    }

    /** JSON into events. */
    private static final class Reading extends AbstractDeserializationSchema<Event> {
        private transient ObjectReader reader;

        @Override
        public void open(InitializationContext context) {
            reader = new ObjectMapper().registerModule(new BlackbirdModule()).readerFor(Event.class);
        }

        @Override
        public Event deserialize(byte[] bytes) throws IOException {
            return reader.readValue(bytes);
        }
    }

    /** Outcomes into JSON. */
    private static final class Writing implements SerializationSchema<Outcome> {
        private transient ObjectWriter writer;

        @Override
        public void open(InitializationContext context) {
            writer = new ObjectMapper().registerModule(new BlackbirdModule()).writerFor(Outcome.class);
        }

        @Override
        public byte[] serialize(Outcome outcome) {
            try {
                return writer.writeValueAsBytes(outcome);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }
}

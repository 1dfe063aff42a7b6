package bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.module.blackbird.BlackbirdModule;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.AutoOffsetReset;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * Stage 1 in Kafka Streams: Processor API, a store with cache and changelog, deadlines by stream time.
 *
 * <p>--store=memory|rocksdb, --guarantee=at_least_once|exactly_once_v2, --threads=N. It prints `first` with the first
 * record, and closes, which commits, after the last of --records.
 */
public final class CartsApp {
    private CartsApp() {}

    public static void main(String[] arguments) throws InterruptedException {
        Flags flags = new Flags(arguments);
        AtomicLong processed = new AtomicLong();
        KafkaStreams streams = new KafkaStreams(topology(flags, processed), properties(flags));
        CountDownLatch stop = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(stop::countDown));
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR) {
                System.err.println("the streams failed");
                Runtime.getRuntime().halt(1);
            }
        });
        streams.start();
        long records = flags.number("records");
        long mark = flags.number("mark", 0);
        boolean said = false;
        while (stop.getCount() > 0 && processed.get() < records) {
            if (!said && processed.get() > mark) {
                said = true;
                System.out.println(mark > 0 ? "mark" : "first");
            }
            Thread.sleep(5);
        }
        streams.close();
    }

    private static Properties properties(Flags flags) {
        Properties properties = new Properties();
        properties.putAll(Map.of(
                StreamsConfig.APPLICATION_ID_CONFIG, flags.get("group"),
                StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, flags.get("bootstrap"),
                StreamsConfig.STATE_DIR_CONFIG, flags.get("folder"),
                StreamsConfig.PROCESSING_GUARANTEE_CONFIG, flags.get("guarantee"),
                StreamsConfig.NUM_STREAM_THREADS_CONFIG, flags.get("threads"),
                StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20,
                StreamsConfig.producerPrefix("compression.type"), "lz4",
                StreamsConfig.producerPrefix("batch.size"), 256 << 10,
                StreamsConfig.consumerPrefix("max.poll.records"), 5000));
        if (flags.get("commit-ms") != null) {
            properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, flags.get("commit-ms"));
        }
        return properties;
    }

    private static Topology topology(Flags flags, AtomicLong processed) {
        StoreBuilder<?> store = Stores.keyValueStoreBuilder(
                        flags.get("store").equals("rocksdb")
                                ? Stores.persistentKeyValueStore(CartProcessor.STORE)
                                : Stores.inMemoryKeyValueStore(CartProcessor.STORE),
                        Serdes.String(),
                        new CartSerde())
                .withCachingEnabled()
                .withLoggingEnabled(Map.of());
        ObjectMapper json = new ObjectMapper().registerModule(new BlackbirdModule());
        return new Topology()
                .addSource(
                        AutoOffsetReset.earliest(),
                        "events",
                        (record, before) -> ((Event) record.value()).at(),
                        new StringDeserializer(),
                        reading(json.readerFor(Event.class)),
                        flags.get("input"))
                .addProcessor("fold", () -> new CartProcessor(processed), "events")
                .addStateStore(store, "fold")
                .addSink("outcomes", flags.get("output"), new StringSerializer(), writing(json.writerFor(Outcome.class)), "fold");
    }

    private static Deserializer<Event> reading(ObjectReader reader) {
        return (topic, bytes) -> {
            try {
                return reader.readValue(bytes);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
    }

    private static Serializer<Outcome> writing(ObjectWriter writer) {
        return (topic, outcome) -> {
            try {
                return writer.writeValueAsBytes(outcome);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
    }
}

package bench;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Folds carts in a store and looks for deadlines each second of stream time, in an index beside the store: one entry
 * a cart, moved on when it comes up too early. It is made again by a scan of the store when a task begins.
 */
final class CartProcessor implements Processor<String, Event, String, Outcome> {
    static final String STORE = "carts";

    private final AtomicLong processed;
    private final TreeMap<Long, List<String>> due = new TreeMap<>();
    private final Set<String> indexed = new HashSet<>();
    private ProcessorContext<String, Outcome> context;
    private KeyValueStore<String, Cart> carts;

    CartProcessor(AtomicLong processed) {
        this.processed = processed;
    }

    @Override
    public void init(ProcessorContext<String, Outcome> context) {
        this.context = context;
        carts = context.getStateStore(STORE);
        try (KeyValueIterator<String, Cart> all = carts.all()) {
            all.forEachRemaining(entry -> index(entry.key, entry.value));
        }
        context.schedule(Duration.ofSeconds(1), PunctuationType.STREAM_TIME, this::sweep);
    }

    @Override
    public void process(Record<String, Event> record) {
        Cart cart = carts.get(record.key());
        if (cart == null) {
            cart = new Cart();
        }
        if (cart.fold(record.value(), outcome -> forward(record.key(), outcome, record.timestamp()))) {
            carts.put(record.key(), cart);
            index(record.key(), cart);
        }
        processed.incrementAndGet();
    }

    private void sweep(long now) {
        while (!due.isEmpty() && due.firstKey() <= now) {
            for (String key : due.pollFirstEntry().getValue()) {
                indexed.remove(key);
                Cart cart = carts.get(key);
                if (cart == null || !cart.waits()) {
                    continue;
                }
                if (cart.deadline() <= now) {
                    forward(key, cart.fire(), now);
                    carts.put(key, cart);
                } else {
                    index(key, cart);
                }
            }
        }
    }

    private void index(String key, Cart cart) {
        if (cart.waits() && indexed.add(key)) {
            due.computeIfAbsent(cart.deadline(), at -> new ArrayList<>(1)).add(key);
        }
    }

    private void forward(String key, Outcome outcome, long at) {
        context.forward(new Record<>(key, outcome, at));
    }
}

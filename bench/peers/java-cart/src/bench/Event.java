package bench;

import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.math.BigDecimal;
import java.util.List;

/** A record of cart-events, as far as the rules of a cart need it. */
@JsonIgnoreProperties(ignoreUnknown = true)
public final class Event {
    @JsonProperty("event_id") public String eventId;
    public String type;
    @JsonProperty("cart_id") public String cartId;
    @JsonProperty("occurred_at") public String occurredAt;
    public List<Item> items = List.of();

    @JsonIgnore public long time = -1; // epoch milliseconds once asked for; public as Flink's POJOs are

    /** When it happened, epoch milliseconds. */
    public long at() {
        if (time < 0) {
            time = Times.millis(occurredAt);
        }
        return time;
    }

    /** A line of the event; no quantity: one when added, the whole line when removed. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    public static final class Item {
        public String sku;
        public String name;
        public Integer quantity;
        public BigDecimal price;
        public String category;
    }
}

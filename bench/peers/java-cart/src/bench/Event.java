package bench;

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

    private long at = -1;

    /** When it happened, epoch milliseconds. */
    public long at() {
        if (at < 0) {
            at = Times.millis(occurredAt);
        }
        return at;
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

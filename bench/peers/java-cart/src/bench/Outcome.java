package bench;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;

/** What is said about a cart. */
@JsonInclude(JsonInclude.Include.NON_NULL)
public final class Outcome {
    public String type;
    @JsonProperty("cart_id") public String cartId;
    @JsonProperty("occurred_at") public String occurredAt;
    @JsonProperty("abandoned_at") public String abandonedAt;
    public String value;
    public List<Cart.Line> items;
}

package bench;

import com.fasterxml.jackson.annotation.JsonInclude;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** The state of one cart and its rules: what an event changes, when it is abandoned, what is said about it. */
public class Cart {
    public static final long IDLE_MS = 2 * 3600 * 1000L;
    private static final int SEEN = 64;

    /** A line of the cart. */
    @JsonInclude(JsonInclude.Include.NON_NULL)
    public static class Line {
        public String sku;
        public String name;
        public int quantity;
        public long cents;
        public String category;
    }

    public String id = "";
    public long lastActivity;
    public long abandonedAt;
    public boolean left; // abandoned and not touched since
    public boolean owed; // abandoned and not bought since
    public List<String> seen = new ArrayList<>();
    public List<Line> lines = new ArrayList<>();

    /** Whether it would become abandoned if nothing happened any more. */
    public boolean waits() {
        return !left && !lines.isEmpty();
    }

    /** When it would. */
    public long deadline() {
        return lastActivity + IDLE_MS;
    }

    /** The abandonment of a cart that waits and whose deadline has come. */
    public Outcome fire() {
        left = true;
        owed = true;
        abandonedAt = deadline();
        return outcome("cart.abandoned", abandonedAt);
    }

    /** Take an event in; false when the cart has seen it. */
    public boolean fold(Event event, Consumer<Outcome> out) {
        if (seen.contains(event.eventId)) {
            return false;
        }
        if (seen.size() == SEEN) {
            seen.remove(0);
        }
        seen.add(event.eventId);
        id = event.cartId;
        long at = event.at();
        if (waits() && at >= deadline()) {
            out.accept(fire());
        }
        switch (event.type) {
            case "order.placed" -> {
                order(at, out);
                return true;
            }
            case "cart.updated" -> {
                lines.clear();
                event.items.forEach(this::add);
            }
            case "cart.item_added" -> event.items.forEach(this::add);
            case "cart.item_removed" -> event.items.forEach(this::remove);
            case "cart.cleared" -> lines.clear();
            default -> { }
        }
        lastActivity = Math.max(lastActivity, at);
        if (left) {
            left = false;
            out.accept(outcome("cart.reactivated", at));
        }
        return true;
    }

    private void order(long at, Consumer<Outcome> out) {
        if (lines.isEmpty()) {
            return;
        }
        out.accept(outcome("cart.completed", at));
        if (owed) {
            out.accept(outcome("cart.recovered", at));
        }
        lines.clear();
        left = false;
        owed = false;
    }

    private void add(Event.Item item) {
        Line line = find(item.sku);
        if (line == null) {
            line = new Line();
            line.sku = item.sku;
            lines.add(line);
        }
        line.quantity += item.quantity == null ? 1 : item.quantity;
        if (item.price != null) {
            line.cents = item.price.movePointRight(2).longValue();
        }
        line.name = item.name != null ? item.name : line.name;
        line.category = item.category != null ? item.category : line.category;
    }

    private void remove(Event.Item item) {
        Line line = find(item.sku);
        if (line == null) {
            return;
        }
        line.quantity -= item.quantity == null ? line.quantity : item.quantity;
        if (line.quantity <= 0) {
            lines.remove(line);
        }
    }

    private Line find(String sku) {
        for (Line line : lines) {
            if (line.sku.equals(sku)) {
                return line;
            }
        }
        return null;
    }

    private Outcome outcome(String type, long at) {
        Outcome outcome = new Outcome();
        outcome.type = type;
        outcome.cartId = id;
        outcome.occurredAt = Times.rfc3339(at);
        outcome.abandonedAt = owed ? Times.rfc3339(abandonedAt) : null;
        long cents = 0;
        for (Line line : lines) {
            cents += line.quantity * line.cents;
        }
        outcome.value = BigDecimal.valueOf(cents, 2).toPlainString();
        outcome.items = lines.stream().map(Cart::copy).toList();
        return outcome;
    }

    private static Line copy(Line line) {
        Line copy = new Line();
        copy.sku = line.sku;
        copy.name = line.name;
        copy.quantity = line.quantity;
        copy.cents = line.cents;
        copy.category = line.category;
        return copy;
    }
}

package bench;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Folds carts in keyed state; one event-time timer a cart, set again when it fires too early. */
final class CartFunction extends KeyedProcessFunction<String, Event, Outcome> {
    private transient ValueState<Cart> carts;

    @Override
    public void open(OpenContext context) {
        carts = getRuntimeContext().getState(new ValueStateDescriptor<>("carts", Cart.class));
    }

    @Override
    public void processElement(Event event, Context context, Collector<Outcome> out) throws Exception {
        Progress.PROCESSED.increment();
        Cart cart = carts.value();
        if (cart == null) {
            cart = new Cart();
        }
        boolean waited = cart.waits();
        if (!cart.fold(event, out::collect)) {
            return;
        }
        carts.update(cart);
        if (cart.waits() && !waited) {
            context.timerService().registerEventTimeTimer(cart.deadline());
        }
    }

    @Override
    public void onTimer(long at, OnTimerContext context, Collector<Outcome> out) throws Exception {
        Cart cart = carts.value();
        if (cart == null || !cart.waits()) {
            return;
        }
        if (cart.deadline() > at) {
            context.timerService().registerEventTimeTimer(cart.deadline());
        } else {
            out.collect(cart.fire());
            carts.update(cart);
        }
    }
}

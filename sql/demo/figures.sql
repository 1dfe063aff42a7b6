-- The figures of the demo's summary: what is in ClickHouse after the story, counted there.
-- identified: abandonments with a person. suppressed: plans that ended without a mail, for whatever reason.
SELECT
    (SELECT uniqExact(shop_id, cart_id) FROM cart_events WHERE type = 'cart.item_added') AS carts,
    (SELECT count() FROM abandonments WHERE state != 'withdrawn') AS abandonments,
    (SELECT count() FROM abandonments WHERE state != 'withdrawn' AND subscriber_id != '') AS identified,
    (SELECT count() FROM messages WHERE type = 'message.sent') AS messages_sent,
    (SELECT count() FROM messages WHERE type = 'message.suppressed') AS suppressed,
    (SELECT count() FROM cart_outcomes WHERE type = 'cart.recovered') AS recovered,
    (SELECT count() FROM dead_letters) AS dead_letters,
    (SELECT count() FROM cart_events) + (SELECT count() FROM device_events) + (SELECT count() FROM order_events)
        + (SELECT count() FROM subscriber_events) + (SELECT count() FROM cart_outcomes)
        + (SELECT count() FROM subscriber_carts) + (SELECT count() FROM messages) + (SELECT count() FROM settings)
        + (SELECT count() FROM offer_codes) + (SELECT count() FROM dead_letters) AS clickhouse_rows

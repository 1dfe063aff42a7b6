-- What moves the rows of the Kafka engine into the table; it begins to read when this is made.
CREATE MATERIALIZED VIEW mover TO peer AS
SELECT
    event_id, type, if(shop_id = '', 'main', shop_id) AS shop_id, cart_id, session_id, device_id, customer_id, email, occurred_at, currency, items, cart_url,
    step, order_id, total, into_cart_id,
    toUInt16(_partition) AS kafka_partition, _offset AS kafka_offset,
    ifNull(_timestamp_ms, toDateTime64(0, 3, 'UTC')) AS received_at
FROM queue

-- What there is to read: the shops, how many partitions the topics have, how many records, from when to when.
--
-- `known` is how far time has come: the last arrival of anything, also of what the stages said themselves.
WITH
    places AS
    (
        SELECT kafka_partition, received_at FROM cart_events_log
        UNION ALL SELECT kafka_partition, received_at FROM device_events_log
        UNION ALL SELECT kafka_partition, received_at FROM order_events_log
        UNION ALL SELECT kafka_partition, received_at FROM subscriber_events_log
        UNION ALL SELECT kafka_partition, received_at FROM cart_outcomes_log
        UNION ALL SELECT kafka_partition, received_at FROM subscriber_carts_log
        UNION ALL SELECT kafka_partition, received_at FROM messages_log
    ),
    heard AS
    (
        SELECT shop_id, occurred_at, received_at FROM cart_events_log
        UNION ALL SELECT shop_id, occurred_at, received_at FROM device_events_log
        UNION ALL SELECT shop_id, occurred_at, received_at FROM order_events_log
        UNION ALL SELECT shop_id, occurred_at, received_at FROM subscriber_events_log
    )
SELECT
    arraySort(groupUniqArray(shop_id)) AS shops,
    count() AS records,
    min(least(occurred_at, received_at)) AS first,
    max(least(occurred_at, received_at)) AS last,
    (SELECT max(kafka_partition) + 1 FROM places) AS partitions,
    (SELECT max(received_at) FROM places) AS known
FROM heard
WHERE {shop:String} IN ('', shop_id)

-- ClickHouse's own route, as its documentation has it: a table of the Kafka engine, one consumer, one block a flush.
CREATE TABLE queue
(
    event_id String,
    type String,
    shop_id String,
    cart_id String,
    session_id String,
    device_id String,
    customer_id String,
    email String,
    occurred_at DateTime64(3, 'UTC'),
    currency String,
    items Array(Tuple(sku String, name String, quantity UInt64, price Nullable(Decimal(38, 6)), category String)),
    cart_url String,
    step String,
    order_id String,
    total Nullable(Decimal(38, 6)),
    into_cart_id String
)
ENGINE = Kafka
SETTINGS
    kafka_broker_list = '{bootstrap}',
    kafka_topic_list = '{topic}',
    kafka_group_name = '{group}',
    kafka_format = 'JSONEachRow',
    kafka_num_consumers = {consumers},
    kafka_thread_per_consumer = 1,
    kafka_max_block_size = 65536,
    kafka_poll_max_batch_size = 65536,
    input_format_skip_unknown_fields = 1,
    date_time_input_format = 'best_effort'

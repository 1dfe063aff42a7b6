-- What nobody could use, as bytes. Where a record came from is in the headers; one without them came from itself.
INSERT INTO dead_letters_log
    (topic, source_partition, source_offset, stage, reason, key, value, kafka_partition, kafka_offset, received_at)
SELECT
    topic,
    if(topic = '', partition, toUInt16OrZero(source_partition)),
    if(topic = '', offset, toUInt64OrZero(source_offset)),
    stage, reason, key, raw, partition, offset,
    fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC')
FROM input('partition UInt16, offset UInt64, timestamp Int64, key String, raw String,
    reason String, topic String, source_partition String, source_offset String, stage String')
FORMAT Native

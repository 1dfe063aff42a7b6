-- Settings by key; an empty record is a deletion and stays as a row.
INSERT INTO settings_log (key, shop_id, name, value, deleted, raw, kafka_partition, kafka_offset, received_at)
SELECT
    key,
    if(said.shop_id != '', said.shop_id, substringIndex(key, '/', 1)),
    if(said.name != '', said.name, substring(key, position(key, '/') + 1)),
    said.value, raw = '', raw, partition, offset, arrived
FROM
(
    SELECT
        partition, offset, key, raw,
        fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC') AS arrived,
        JSONExtract(raw, 'Tuple(shop_id String, name String, value String)') AS said
    FROM input('partition UInt16, offset UInt64, timestamp Int64, key String, raw String')
)
WHERE raw = '' OR startsWith(trimLeft(raw, ' \t\r\n'), '{') AND said.name != ''
FORMAT Native

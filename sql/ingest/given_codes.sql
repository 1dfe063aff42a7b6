-- Codes of offers that went out, from `messages`: one with which a message left, or may have left, is given for good.
INSERT INTO offer_codes_log (shop_id, fingerprint, what, pool, kafka_partition, kafka_offset, received_at)
WITH if(said.shop_id = '', 'main', said.shop_id) AS shop
SELECT
    shop, substring(lower(hex(SHA256(concat('offer-code\x1f', shop, '\x1f', said.code)))), 1, 32), 'given', '',
    partition, offset, arrived
FROM
(
    SELECT
        partition, offset,
        fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC') AS arrived,
        JSONExtract(raw, 'Tuple(shop_id String, type String, code String)') AS said
    FROM input('partition UInt16, offset UInt64, timestamp Int64, raw String')
    WHERE startsWith(trimLeft(raw, ' \t\r\n'), '{')
)
WHERE said.type IN ('message.sent', 'message.uncertain') AND said.code != ''
FORMAT Native

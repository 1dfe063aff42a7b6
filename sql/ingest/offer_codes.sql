-- Codes of offers: who they are for and a fingerprint (see schema/006), never the code itself.
-- A record that is no object with a pool and a code is left out: it is in dead-letters.
INSERT INTO offer_codes_log (shop_id, fingerprint, what, pool, kafka_partition, kafka_offset, received_at)
WITH if(said.shop_id = '', 'main', said.shop_id) AS shop
SELECT
    shop, substring(lower(hex(SHA256(concat('offer-code\x1f', shop, '\x1f', said.code)))), 1, 32), 'added', said.pool,
    partition, offset, arrived
FROM
(
    SELECT
        partition, offset,
        fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC') AS arrived,
        JSONExtract(raw, 'Tuple(shop_id String, pool String, code String)') AS said
    FROM input('partition UInt16, offset UInt64, timestamp Int64, raw String')
    WHERE startsWith(trimLeft(raw, ' \t\r\n'), '{')
)
WHERE said.pool != '' AND said.code != '' AND lengthUTF8(said.code) <= 100
FORMAT Native

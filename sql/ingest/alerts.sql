-- Alarms about a shop's checkout: opened, closed, told by mail.
-- A record that is no object with a type and an id is left out: only Cartwake writes here.
INSERT INTO alerts_log
(
    record_id, type, alert_id, shop_id, number, occurred_at, signal, since, jumps, reason, words, about, `to`,
    raw, kafka_partition, kafka_offset, received_at
)
WITH
    (said, otherwise) -> if(
        substring(said, 5, 1) = '-' AND parseDateTime64BestEffortOrZero(said, 3, 'UTC')
            BETWEEN toDateTime64('1970-01-01 00:00:00', 3, 'UTC') AND toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC'),
        parseDateTime64BestEffortOrZero(said, 3, 'UTC'), otherwise) AS moment
SELECT
    said.record_id, said.type, said.alert_id, if(said.shop_id = '', 'main', said.shop_id), said.number,
    moment(said.occurred_at, arrived), said.signal, moment(said.since, toDateTime64(0, 3, 'UTC')), said.jumps,
    said.reason, said.words, said.about, said.`to`, raw, partition, offset, arrived
FROM
(
    SELECT
        partition, offset, raw,
        fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC') AS arrived,
        JSONExtract(raw, 'Tuple(
            record_id String, type String, alert_id String, shop_id String, number UInt32, occurred_at String,
            signal String, since String,
            jumps Array(Tuple(signal String, minutes UInt32, of UInt64, passed UInt64, share Float64, usual Float64)),
            reason String, words String, about String, to String
        )') AS said
    FROM input('partition UInt16, offset UInt64, timestamp Int64, raw String')
    WHERE startsWith(trimLeft(raw, ' \t\r\n'), '{')
)
WHERE said.type != '' AND said.record_id != ''
FORMAT Native

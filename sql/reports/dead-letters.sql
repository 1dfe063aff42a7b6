-- title: Dead letters by reason
-- description: Records that nobody could use, by topic, stage and reason, on the day (UTC) they were put aside; each record
--   of a topic once a stage. Numbers in reasons are shown as N, so that those that differ in nothing else stand together.
--   Nothing is left out, so there is no denominator but the records of the topic. A record that can't be read belongs to
--   no shop: `shop` finds those whose text says so. `cartwake dlq` shows them and tries them again.
-- parameter from: first day, UTC, of being put aside
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: records by topic, reason
-- column topic: topic the records were read from
-- column stage: who could not use them
-- column reason: why
-- column records: how many
-- column first_at: the first
-- column last_at: the last
-- column example: partition and offset of the last
SELECT
    topic,
    stage,
    replaceRegexpAll(l.reason, '[0-9]+', 'N') AS reason,
    count() AS records,
    min(received_at) AS first_at,
    max(received_at) AS last_at,
    argMax(concat(toString(source_partition), '/', toString(source_offset)), (received_at, kafka_offset)) AS example
FROM dead_letters AS l
WHERE received_at >= toDateTime64({from:Date32}, 3, 'UTC')
    AND received_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
    AND ({shop:String} = '' OR JSONExtractString(l.value, 'shop_id') = {shop:String})
GROUP BY topic, stage, reason
ORDER BY records DESC, topic, stage, reason

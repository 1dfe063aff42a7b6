-- Days of shops counted anew from the abandonments: each of `days` of each of `shops`. Repeating it is safe.
INSERT INTO abandonment_days_log (shop_id, day, figures, said_at, facts)
SELECT
    shop_id,
    day,
    groupArray((stage, state, currency, known, message_status, message_reason, carts, units, value)),
    max(said_at),
    sum(facts)
FROM
(
    SELECT
        shop_id,
        toDate32(abandoned_at, 'UTC') AS day,
        stage,
        state,
        currency,
        subscriber_id != '' OR email != '' AS known,
        message_status,
        message_reason,
        count() AS carts,
        sum(toUInt64(a.units)) AS units,
        sum(a.value) AS value,
        max(a.said_at) AS said_at,
        sum(toUInt128(a.facts)) AS facts
    FROM abandonments_log AS a FINAL
    WHERE shop_id IN {shops:Array(String)}
        AND abandoned_at >= {since:DateTime64(3, 'UTC')} AND abandoned_at < {until:DateTime64(3, 'UTC')}
        AND toDate32(abandoned_at, 'UTC') IN {days:Array(Date32)}
    GROUP BY shop_id, day, stage, state, currency, known, message_status, message_reason
)
GROUP BY shop_id, day

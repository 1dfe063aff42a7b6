-- From when to when there are carts that were left, epoch milliseconds; 0 and 0 when there are none.
SELECT toUnixTimestamp64Milli(min(abandoned_at)) AS first, toUnixTimestamp64Milli(max(abandoned_at)) AS last
FROM abandonments_log

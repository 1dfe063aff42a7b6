-- The compressed bytes a row of each column of cart_events_log.
SELECT column AS name, sum(column_data_compressed_bytes) / sum(rows) AS bytes
FROM system.parts_columns
WHERE active AND database = currentDatabase() AND table = 'cart_events_log'
GROUP BY column
ORDER BY bytes DESC

-- Bytes on disk a row of cart_events_log, everything included: marks, checksums, indexes.
SELECT sum(bytes_on_disk) / sum(rows) AS bytes, count() AS parts
FROM system.parts
WHERE active AND database = currentDatabase() AND table = 'cart_events_log'

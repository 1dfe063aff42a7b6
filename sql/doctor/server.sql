-- Which ClickHouse this is, and what time it has.
SELECT version() AS version, now64(3, 'UTC') AS now

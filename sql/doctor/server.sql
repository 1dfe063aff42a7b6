-- Which ClickHouse this is, and what time it has in epoch milliseconds.
SELECT version() AS version, toUnixTimestamp64Milli(now64(3)) AS now

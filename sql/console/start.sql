-- When the first abandonment of all was, epoch milliseconds; 0 when there is none. The table's own bounds tell it.
SELECT toUnixTimestamp64Milli(min(abandoned_at)) AS first
FROM abandonments_log

-- The figures that ClickHouse makes anew by itself: when each was made last, how long that took, and why not since.
SELECT view AS name, last_success_time AS made_at, last_success_duration_ms AS took_ms, exception AS problem
FROM system.view_refreshes
WHERE database = {database:String}
ORDER BY name

-- The newest turn: whose it is, whether it is over, the file it was at, and how long nothing was heard of it.
SELECT
    turn,
    argMinIf(migrator, (at, migrator), what = 'took') AS migrator,
    argMaxIf(version, at, what = 'took') AS version,
    max(what = 'ended') AS ended,
    argMaxIf(file, at, what != 'ended') AS file,
    max(at) AS heard_at,
    dateDiff('millisecond', heard_at, now64(3, 'UTC')) / 1000 AS silent_s
FROM {database}.schema_migrations_log
GROUP BY turn
ORDER BY turn DESC
LIMIT 1

-- What has been applied so far.
SELECT number, name, toString(sha256) AS sha256, applied_at
FROM {database}.schema_migrations FINAL
ORDER BY number

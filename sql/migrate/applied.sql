-- What has been applied so far. Which version did so is not known of records from before it was noted.
SELECT * REPLACE (toString(sha256) AS sha256)
FROM {database}.schema_migrations FINAL
ORDER BY number

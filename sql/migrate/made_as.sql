-- The engines of the record of migrations and of the log of migrators, empty when not there; Replicated… on a cluster.
SELECT anyIf(engine, name = 'schema_migrations') AS record, anyIf(engine, name = 'schema_migrations_log') AS log
FROM system.tables
WHERE database = {name:String}

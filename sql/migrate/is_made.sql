-- 1 when the database keeps a record of migrations, else 0.
SELECT count() FROM system.tables WHERE database = {name:String} AND name = 'schema_migrations'

-- A word of a migrator about its turn.
INSERT INTO {database}.schema_migrations_log (turn, migrator, what, file, version) FORMAT JSONEachRow

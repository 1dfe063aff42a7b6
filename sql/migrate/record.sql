-- One file has been applied.
INSERT INTO {database}.schema_migrations (number, name, sha256, version)
SELECT {number:UInt32}, {name:String}, {sha256:String}, {version:String}

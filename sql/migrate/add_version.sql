-- Records that were made before the version was noted get the column.
ALTER TABLE {database}.schema_migrations
    ADD COLUMN IF NOT EXISTS version String COMMENT 'The version of Cartwake that applied it; empty when that was not noted yet'

-- What has been applied. Ordered by number, so a repeated record of the same number counts once (FINAL).
CREATE TABLE IF NOT EXISTS {database}.schema_migrations
(
    number UInt32 COMMENT 'Number of the file in sql/schema',
    name String COMMENT 'Its name',
    sha256 FixedString(64) COMMENT 'Hash of its text, before placeholders are filled',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When its last statement had run',
    version String COMMENT 'The version of Cartwake that applied it; empty when that was not noted yet'
)
ENGINE = ReplacingMergeTree
ORDER BY number
COMMENT 'Numbered files of sql/schema that have been applied'

-- Who migrates. A turn is taken by the one insert of its row that is not dropped as a repetition (its deduplication token is
-- the number of the turn), so the window below is what makes two migrators wait for each other. No retention: a turn whose
-- rows were gone while its token is still known could never be taken again.
CREATE TABLE IF NOT EXISTS {database}.schema_migrations_log
(
    turn UInt64 COMMENT 'Counts up; each turn belongs to one migrator',
    migrator String COMMENT 'Its machine, process and a random part',
    what LowCardinality(String) COMMENT 'took (the turn), works (was there still) or ended',
    file String COMMENT 'The file it was at; empty when at none',
    version String COMMENT 'Its version of Cartwake',
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When, by the server''s clock'
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (turn, migrator, what, file)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Turns of migrators, one at a time'

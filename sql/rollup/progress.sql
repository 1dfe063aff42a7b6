-- How far the abandonments are computed, by topic and partition.
SELECT topic, partition, until
FROM rollup_progress_log FINAL

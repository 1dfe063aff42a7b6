-- The abandonments are computed up to, not including, this offset.
INSERT INTO rollup_progress_log (topic, partition, until)
SELECT {topic:String}, {partition:UInt16}, {until:UInt64}

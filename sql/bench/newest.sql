-- Up to where each partition can be read; a batch becomes visible as a whole.
SELECT kafka_partition, max(kafka_offset) AS newest
FROM {table:Identifier}
GROUP BY kafka_partition

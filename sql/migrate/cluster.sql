-- What the server knows of a cluster and of its own place: how many shards it has, which clusters and macros there are.
SELECT
    (SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = {name:String}) AS shards,
    (SELECT arrayStringConcat(arraySort(groupUniqArray(cluster)), ', ') FROM system.clusters) AS known,
    (SELECT arrayStringConcat(arraySort(groupArray(macro)), ', ') FROM system.macros) AS macros

-- What other replicas have written is here as well, before it is read.
SYSTEM SYNC REPLICA {database}.{table}

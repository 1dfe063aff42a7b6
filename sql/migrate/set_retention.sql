-- Another retention. Parts get it in the background: rows that are kept longer now do not go at their old day.
ALTER TABLE {database}.{table} MODIFY TTL {ttl} SETTINGS mutations_sync = 0

-- Takes rows that were deleted off the disk now, rather than at some later merge.
ALTER TABLE {database}.{table}_log APPLY DELETED MASK SETTINGS mutations_sync = 2

-- What was published for a shop last, as far as the sink has it.
SELECT value
FROM settings
WHERE key = {key:String} AND NOT deleted

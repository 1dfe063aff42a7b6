-- Every public table and view with its columns and their comments. Tables that views stand before (`…_log`, `.inner…`) are left out.
SELECT
    t.name AS name,
    t.comment AS words,
    c.name AS `column`,
    c.type AS type,
    c.comment AS meaning
FROM system.tables AS t
INNER JOIN system.columns AS c ON c.database = t.database AND c.table = t.name
WHERE t.database = currentDatabase() AND NOT endsWith(t.name, '_log') AND NOT startsWith(t.name, '.') AND t.name != 'schema_migrations'
ORDER BY t.name, c.position

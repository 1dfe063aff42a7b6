-- Tables with what their engine was made with; a retention is among it.
SELECT name, engine_full FROM system.tables WHERE database = {name:String} AND endsWith(engine, 'MergeTree') ORDER BY name

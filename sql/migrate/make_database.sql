-- The database itself; the user of the DSN needs the right to make it, or finds it there.
CREATE DATABASE IF NOT EXISTS {database}

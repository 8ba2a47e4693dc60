"""Queries for the properties of a table that decide if changes are safe there.

Each has one row if the table is there: whether no id can have two records in it, as far as the database can tell;
whether a statement that changes several records is exact there; the bytes that a statement may have, or NULL.
`{id}` is the name of the column for ids, and `{columns}` are further facts.
"""

# A view or a foreign table shows no index. A partitioned table can have none if some of its partitions are foreign. A
# trigger may put a record elsewhere, which the combined statement then does not mention.
POSTGRESQL = """
SELECT c.relkind NOT IN ('r', 'p')
    OR EXISTS (SELECT FROM pg_inherits p JOIN pg_class f ON f.oid = p.inhrelid
        WHERE p.inhparent = c.oid AND f.relkind = 'f')
    OR EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL AND a.attname = '{id}'),
    NOT EXISTS (SELECT FROM pg_trigger t
        WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgtype & 5 = 5 AND t.tgtype & 66 <> 0),
    NULL{columns}
FROM pg_class c WHERE c.oid = to_regclass($1)
"""

# Of each column: its name, its type, and its type's category, "S" for texts.
POSTGRESQL_COLUMNS = """,
    ARRAY(SELECT ARRAY[a.attname, format_type(a.atttypid, NULL), t.typcategory]::text[]
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)"""

# Its names are constants, so that the database looks at one table only, or at several that differ by case. Of a view
# neither the engine nor the indexes are known.
MYSQL = """
SELECT MAX(t.TABLE_TYPE <> 'BASE TABLE' OR EXISTS (
        SELECT 1 FROM information_schema.STATISTICS s
        WHERE s.TABLE_SCHEMA = {schema} AND s.TABLE_NAME = %(v1)s AND s.NON_UNIQUE = 0
        GROUP BY s.INDEX_NAME HAVING COUNT(*) = 1 AND MAX(s.COLUMN_NAME) = 'id')),
    MIN(COALESCE((SELECT e.TRANSACTIONS = 'YES' FROM information_schema.ENGINES e WHERE e.ENGINE = t.ENGINE), 0)),
    @@max_allowed_packet
FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = {schema} AND t.TABLE_NAME = %(v1)s HAVING COUNT(*) > 0
"""

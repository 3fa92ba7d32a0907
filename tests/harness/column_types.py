"""Which column types a server knows, and which of them a set of tables uses.

The server is asked, so that the list cannot grow old: every word that it calls a keyword, has a help topic on, or has a type
plugin for is tried as the type of a column, bare and with each form of arguments. What it takes counts, under the name that
the server itself gives it.
"""

import re

import pymysql

# Not all servers tell these names, or tell them as words.
KNOWN = ["geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "vector",
         "uuid", "inet4", "inet6", "json", "xmltype", "double precision"]
FORMS = ["{}", "{} UNSIGNED", "{}(3)", "{}(3) UNSIGNED", "{}('a','b')"]
# A server that did not take these would not have been asked rightly.
CERTAIN = {
    "mariadb": {"tinyint", "tinyint unsigned", "bigint unsigned", "decimal", "float", "double", "bit", "char", "varchar", "longtext", "varbinary",
                "longblob", "date", "time", "time(n)", "datetime(n)", "timestamp", "timestamp(n)", "year", "enum", "set", "uuid", "inet4", "inet6",
                "geometry", "point", "multipolygon", "generated stored", "generated virtual"},
    "mysql": {"tinyint", "tinyint unsigned", "bigint unsigned", "decimal", "float", "double", "bit", "char", "varchar", "longtext", "varbinary",
              "longblob", "date", "time", "time(n)", "datetime(n)", "timestamp", "timestamp(n)", "year", "enum", "set", "json", "vector",
              "geometry", "point", "multipolygon", "generated stored", "generated virtual"},
}


def _words(cursor):
    words = set(KNOWN)
    for sql in ("SELECT word FROM information_schema.keywords", "SELECT name FROM mysql.help_topic",
                "SELECT plugin_name FROM information_schema.plugins WHERE plugin_type = 'DATA TYPE'"):
        try:
            cursor.execute(sql)
            words |= {re.sub(r"\s+data type$", "", row[0].lower()) for row in cursor.fetchall()}
        except pymysql.err.MySQLError:
            pass  # the other server's table
    return sorted(word for word in words if re.fullmatch(r"[a-z][a-z0-9]*( [a-z]+)?", word))


def used(cursor, database):
    """Names of the types of all columns of a database's tables."""
    cursor.execute("SELECT LOWER(data_type), LOWER(column_type), COALESCE(datetime_precision, 0), LOWER(extra) FROM information_schema.columns"
                   " WHERE table_schema = %s", (database,))
    names = set()
    for data_type, column_type, fraction, extra in cursor.fetchall():
        name = {"geomcollection": "geometrycollection"}.get(data_type, data_type)
        names.add(name + (" unsigned" if "unsigned" in column_type else "") + ("(n)" if fraction else ""))
        if "generated" in extra and "default_generated" not in extra:
            names.add("generated " + ("stored" if "stored" in extra else "virtual"))
    return names


def known(server):
    """Names of all types that the server takes for a column."""
    connection = server.connect(autocommit=True)
    cursor = connection.cursor()
    cursor.execute("CREATE DATABASE known_types")
    cursor.execute("USE known_types")
    number = 0
    for word in _words(cursor):
        for form in FORMS:
            number += 1
            try:
                cursor.execute("CREATE TABLE t%d (c %s)" % (number, form.format(word)))
            except pymysql.err.MySQLError:
                pass  # no type of a column, in this form
    cursor.execute("CREATE TABLE with_generated (a INT, b INT GENERATED ALWAYS AS (a + 1) STORED, c INT GENERATED ALWAYS AS (a + 2) VIRTUAL)")
    names = used(cursor, "known_types")
    cursor.execute("DROP DATABASE known_types")
    connection.close()
    lacking = CERTAIN[server.engine] - names
    if lacking:
        raise AssertionError("%s was not asked rightly: it is said not to know %s" % (server.engine, sorted(lacking)))
    return names


def without_case(server, schemas):
    """Types that the server knows and that no script of `schemas` uses."""
    names = known(server)
    server.client("CREATE DATABASE used_types CHARACTER SET utf8mb4")
    for schema in schemas:
        server.client(schema, "used_types")
    connection = server.connect()
    have = used(connection.cursor(), "used_types")
    connection.close()
    server.client("DROP DATABASE used_types")
    return sorted(names - have)

"""Compares source and target row by row, reading both with the servers' own clients.

Nothing here comes from the program under test: each pair of columns is compared by what the two servers themselves say
the types are, in a normal form computed in SQL on both sides (binary and text as hex, times in UTC with six digits, ...);
only floats and JSON are normalised here. Rows are sorted by their key outside the servers, so no collation matters.

    compare.py --source mariadb:PORT --database DB --target PORT --target-database DB [--schema S] [--tenant COLUMN=VALUE]
"""

import argparse
import decimal
import json
import os
import subprocess
import sys
import threading

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import servers


class CompareError(Exception):
    """The comparison itself could not be made."""


class Column:
    def __init__(self, name, data_type, column_type, nullable, generated):
        self.name = name
        self.data_type = data_type.lower()
        self.column_type = column_type.lower()
        self.nullable = nullable
        self.generated = generated


class Difference:
    def __init__(self, table, key, column, source, target):
        self.table, self.key, self.column, self.source, self.target = table, key, column, source, target

    def __str__(self):
        where = self.table + (" [%s]" % self.key if self.key else "") + (" " + self.column if self.column else "")
        return "%s: source %s, target %s" % (where, self.source, self.target)


class Report:
    def __init__(self):
        self.tables = {}  # name -> rows on the source
        self.differences = []
        self.different_rows = 0

    @property
    def rows(self):
        return sum(self.tables.values())

    @property
    def equal(self):
        return not self.differences and not self.different_rows

    def __str__(self):
        head = "%d tables, %d rows, %s" % (len(self.tables), self.rows,
                                           "equal" if self.equal else "%d rows differ" % self.different_rows)
        return "\n".join([head] + ["  " + str(difference) for difference in self.differences])


# ---- what the servers say about their tables ----------------------------------------------------------------------------

def _quote_my(name):
    return "`" + name.replace("`", "``") + "`"


def _quote_pg(name):
    return '"' + name.replace('"', '""') + '"'


def _literal(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _literal_pg(text):
    return "'" + text.replace("'", "''") + "'"


def _unhex(text):
    return bytes.fromhex(text).decode("utf-8")


def source_tables(source, database):
    """name -> (columns, key column names)."""
    tables = {}
    for table, in source.rows("SELECT HEX(table_name) FROM information_schema.tables WHERE table_schema = %s AND"
                              " table_type = 'BASE TABLE'" % _literal(database)):
        tables[_unhex(table)] = ([], [])
    for table, name, data_type, column_type, nullable, extra in source.rows(
            "SELECT HEX(table_name), HEX(column_name), HEX(data_type), HEX(column_type), is_nullable, extra"
            " FROM information_schema.columns WHERE table_schema = %s ORDER BY table_name, ordinal_position"
            % _literal(database)):
        if _unhex(table) in tables:
            tables[_unhex(table)][0].append(Column(_unhex(name), _unhex(data_type), _unhex(column_type), nullable == "YES",
                                                   "GENERATED" in extra.upper() and "DEFAULT_GENERATED" not in extra.upper()))
    for table, name in source.rows(
            "SELECT HEX(table_name), HEX(column_name) FROM information_schema.statistics WHERE table_schema = %s AND"
            " index_name = 'PRIMARY' ORDER BY table_name, seq_in_index" % _literal(database)):
        if _unhex(table) in tables:
            tables[_unhex(table)][1].append(_unhex(name))
    return tables


def target_columns(target, database, schema):
    """table -> {column -> type}."""
    tables = {}
    sql = ("SELECT encode(convert_to(c.relname, 'UTF8'), 'hex'), encode(convert_to(a.attname, 'UTF8'), 'hex'),"
           " format_type(a.atttypid, NULL) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
           " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind IN ('r', 'p')"
           " AND a.attnum > 0 AND NOT a.attisdropped;" % _literal_pg(schema))
    for table, column, type_name in target.rows(sql, database):
        tables.setdefault(_unhex(table), {})[_unhex(column)] = type_name
    return tables


# ---- normal forms -------------------------------------------------------------------------------------------------------

_INTEGERS = {"tinyint", "smallint", "mediumint", "int", "bigint", "year"}
_TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"}
_SHAPES = {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection",
           "geomcollection"}
_BINARIES = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}


def _normal_forms(column, target_type, zero_dates, nul_bytes):
    """(expression on the source, on the target, what to do with both here: None, 'float' or 'json')."""
    c = _quote_my(column.name)
    t = _quote_pg(column.name)
    kind = column.data_type
    if kind in _INTEGERS or kind == "decimal":
        return "CAST(%s + 0 AS CHAR)" % c, t + ("::int::text" if target_type == "boolean" else "::text"), None
    if kind == "bit":
        width = int(column.column_type[4:-1]) if "(" in column.column_type else 1
        forms = {"boolean": t + "::int::text", "bit": t + "::text", "bit varying": t + "::text",
                 "bigint": "lpad(%s::bit(64)::text, 64, '0')" % t}
        if target_type not in forms:
            raise CompareError("no way to compare bit with " + target_type)
        if target_type == "bigint":
            width = 64
        return "LPAD(BIN(%s + 0), %d, '0')" % (c, width), forms[target_type], None
    if kind in ("float", "double"):
        return "%s * 1e0" % c, t + "::float8::text", "float"
    if kind == "json" or target_type in ("json", "jsonb"):
        return ("HEX(CONVERT(%s USING utf8mb4))" % c if kind != "json" else "HEX(CAST(%s AS CHAR CHARACTER SET utf8mb4))" % c,
                "upper(encode(convert_to(%s::text, 'UTF8'), 'hex'))" % t, "json")
    if kind in _TEXTS:
        if target_type.endswith("[]"):
            t = "array_to_string(%s, ',')" % t
        source = "CONVERT(%s USING utf8mb4)" % c
        if nul_bytes == "remove":
            source = "REPLACE(%s, CHAR(0 USING utf8mb4), '')" % source
        return "HEX(%s)" % source, "upper(encode(convert_to(%s::text, 'UTF8'), 'hex'))" % t, None
    if kind in _BINARIES:
        return "HEX(%s)" % c, "upper(encode(%s, 'hex'))" % t, None
    if kind in _SHAPES:
        return "HEX(%s)" % c, "upper(encode(%s, 'hex'))" % t, None
    if kind == "vector":
        # Four bytes a number, least first; PostgreSQL sends them greatest first.
        return "HEX(%s)" % c, ("(SELECT string_agg(upper(encode(substring(b FROM 4) || substring(b FROM 3 FOR 1) || substring(b FROM 2 FOR 1) ||"
                               " substring(b FROM 1 FOR 1), 'hex')), '' ORDER BY n) FROM (SELECT float4send(x) AS b, n FROM unnest(%s)"
                               " WITH ORDINALITY AS u (x, n)) AS s)" % t), None
    if kind in ("uuid", "inet4", "inet6"):
        return "LOWER(CAST(%s AS CHAR))" % c, ("host(%s)" if target_type == "inet" else "%s::text") % t, None
    if kind in ("date", "datetime", "timestamp"):
        return _date_forms(kind, c, t, target_type, zero_dates)
    if kind == "time":
        return ("IF(%s < CAST('00:00:00' AS TIME), -1, 1) * ((HOUR(%s) * 3600 + MINUTE(%s) * 60 + SECOND(%s)) * 1000000 +"
                " MICROSECOND(%s))" % (c, c, c, c, c), "(extract(epoch FROM %s) * 1000000)::bigint::text" % t, None)
    raise CompareError("no normal form for column type " + column.column_type)


def _date_forms(kind, c, t, target_type, zero_dates):
    if kind == "date":
        source = "CAST(%s AS CHAR)" % c
        zero = "0000-00-00"
        target = "to_char(%s, 'YYYY-MM-DD')" % t
    else:
        source = "DATE_FORMAT(%s, '%%Y-%%m-%%d %%H:%%i:%%s.%%f')" % c
        zero = "0000-00-00 00:00:00.000000"
        target = "to_char(%s, 'YYYY-MM-DD HH24:MI:SS.US')" % t
    if zero_dates == "null":
        source = "NULLIF(%s, '%s')" % (source, zero)
    elif zero_dates == "infinity":
        target = "CASE WHEN %s = '-infinity' THEN '%s' ELSE %s END" % (t, zero, target)
    return source, "CASE WHEN %s = 'infinity' THEN 'infinity' ELSE %s END" % (t, target), None


class _Number(str):
    """A JSON number by its exact value; compares unequal to a string of the same characters once printed."""


def _number(text):
    value = decimal.Decimal(text)
    if value == 0:
        return {"\0": "0"}
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    exponent += len(digits) - len(text)
    return {"\0": "%s%se%d" % ("-" if sign else "", text, exponent)}


def canonical_json(text):
    value = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_number)
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _canonical_field(kind, field):
    if field == b"NULL":
        return field
    if kind == "float":
        return float(field).hex().encode()
    return canonical_json(bytes.fromhex(field.decode()).decode("utf-8")).encode().hex().encode()


# ---- reading and comparing ----------------------------------------------------------------------------------------------

def _canonical_pipe(source, sink, kinds):
    """Rewrites the fields at the positions in `kinds`, line by line."""
    try:
        for line in source:
            fields = line.rstrip(b"\n").split(b"\t")
            for index, kind in kinds.items():
                fields[index] = _canonical_field(kind, fields[index])
            sink.write(b"\t".join(fields) + b"\n")
    finally:
        sink.close()


class _Sorted:
    """Lines of a client's query in byte order."""

    def __init__(self, server, sql, database, kinds, directory):
        self.client = server.stream(sql, database)
        source = self.client.stdout
        self.failure = None
        environment = dict(os.environ, LC_ALL="C")
        command = ["sort", "-S", "128M", "-T", directory or "/tmp"]
        if kinds:
            self.sort = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
            self.thread = threading.Thread(target=self._canonicalise, args=(source, kinds))
            self.thread.start()
        else:
            self.sort = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, env=environment)
            source.close()
            self.thread = None
        self.lines = self.sort.stdout

    def _canonicalise(self, source, kinds):
        try:
            _canonical_pipe(source, self.sort.stdin, kinds)
        except Exception as error:  # shown by finish()
            self.failure = error

    def finish(self):
        error = self.client.stderr.read().decode("utf-8", "replace").strip()
        if self.thread:
            self.thread.join()
        self.lines.close()
        self.sort.wait()
        if self.client.wait() != 0:
            raise CompareError(error)
        if self.failure:
            raise CompareError("%s: %s" % (type(self.failure).__name__, self.failure))


def _show(field):
    if field is None:
        return "no row"
    if len(field) % 2 == 0 and field and field != b"NULL":
        try:
            text = bytes.fromhex(field.decode()).decode("utf-8")
            if len(field) > 3 and text.isprintable():
                return "%s ('%s')" % (field.decode()[:80], text[:60])
        except ValueError:
            pass
    return field.decode("utf-8", "replace")[:120]


class _Merge:
    def __init__(self, table, names, key_length, report, limit):
        self.table, self.names, self.key_length, self.report, self.limit = table, names, key_length, report, limit

    def _key(self, line):
        return b"\t".join(line.rstrip(b"\n").split(b"\t")[:self.key_length]) + b"\t"

    def _differ(self, source, target):
        self.report.different_rows += 1
        if len(self.report.differences) >= self.limit:
            return
        fields = (source or target).rstrip(b"\n").split(b"\t")
        key = ", ".join("%s=%s" % (name, _show(field)) for name, field in zip(self.names[:self.key_length], fields))
        if source is None or target is None:
            self.report.differences.append(Difference(self.table, key, None, "has it" if source else "no row",
                                                      "has it" if target else "no row"))
            return
        for name, a, b in zip(self.names, source.rstrip(b"\n").split(b"\t"), target.rstrip(b"\n").split(b"\t")):
            if a != b:
                self.report.differences.append(Difference(self.table, key, name, _show(a), _show(b)))

    def run(self, source, target):
        rows = 0
        a, b = next(source, None), next(target, None)
        while a is not None or b is not None:
            if a == b:
                rows += 1
                a, b = next(source, None), next(target, None)
                continue
            key_a = self._key(a) if a is not None else None
            key_b = self._key(b) if b is not None else None
            if key_b is None or (key_a is not None and key_a < key_b):
                self._differ(a, None)
                rows += 1
                a = next(source, None)
            elif key_a is None or key_b < key_a:
                self._differ(None, b)
                b = next(target, None)
            else:
                self._differ(a, b)
                rows += 1
                a, b = next(source, None), next(target, None)
        return rows


class Comparison:
    """One source database and its place on one target."""

    def __init__(self, source, database, target, target_database, schema="public", tenant_column=None, tenant_value=None,
                 zero_dates="stop", nul_bytes="stop", limit=10, directory=None, ignore_tables=(), allow_missing_generated=False):
        self.source, self.database = source, database
        self.target, self.target_database, self.schema = target, target_database, schema
        self.tenant_column, self.tenant_value = tenant_column, tenant_value
        self.zero_dates, self.nul_bytes, self.limit, self.directory = zero_dates, nul_bytes, limit, directory
        self.ignore_tables = set(ignore_tables)
        self.allow_missing_generated = allow_missing_generated

    def run(self, tables=None):
        report = Report()
        sources = source_tables(self.source, self.database)
        targets = target_columns(self.target, self.target_database, self.schema)
        for name in sorted(sources):
            if name in self.ignore_tables or (tables is not None and name not in tables):
                continue
            columns, key = sources[name]
            if name not in targets:
                report.tables[name] = 0
                report.different_rows += 1
                report.differences.append(Difference(name, None, None, "has the table", "has no such table"))
                continue
            self._table(name, columns, key, targets[name], report)
        return report

    def _table(self, name, columns, key, target_types, report):
        present = []
        for column in columns:
            if column.name in target_types:
                present.append(column)
            elif not (column.generated and self.allow_missing_generated):
                report.different_rows += 1
                report.differences.append(Difference(name, None, column.name, "has the column", "has no such column"))
        by_name = {column.name: column for column in present}
        in_key = [by_name[n] for n in key if n in by_name]
        ordered = in_key + [column for column in present if column not in in_key]
        key_length = len(in_key) if in_key else len(ordered)
        forms = [_normal_forms(column, target_types[column.name], self.zero_dates, self.nul_bytes) for column in ordered]
        kinds = {index: form[2] for index, form in enumerate(forms) if form[2]}

        # Columns that only other tenants have must be empty for this one.
        foreign = [n for n in target_types if n not in by_name and n != self.tenant_column]
        where = ""
        if self.tenant_column:
            where = " WHERE %s::text = %s" % (_quote_pg(self.tenant_column), _literal_pg(self.tenant_value))
        relation = _quote_pg(self.schema) + "." + _quote_pg(name)
        if foreign:
            filled = self.target.value("SELECT count(*) FROM %s%s %s (%s)" % (
                relation, where, "AND" if where else "WHERE",
                " OR ".join(_quote_pg(n) + " IS NOT NULL" for n in foreign)), self.target_database)
            if filled != "0":
                report.different_rows += int(filled)
                report.differences.append(Difference(name, None, ", ".join(foreign), "has no such column",
                                                     filled + " rows with values"))

        source_sql = ("SET NAMES utf8mb4; SET SESSION time_zone = '+00:00', sql_mode = '';\nSELECT %s FROM %s.%s;\n"
                      % (", ".join(form[0] for form in forms), _quote_my(self.database), _quote_my(name)))
        target_sql = ("SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET extra_float_digits = 1;"
                      " SET IntervalStyle = 'postgres';\nCOPY (SELECT %s FROM %s%s) TO STDOUT (NULL 'NULL');\n"
                      % (", ".join(form[1] for form in forms), relation, where))
        left = _Sorted(self.source, source_sql, None, kinds, self.directory)
        right = _Sorted(self.target, target_sql, self.target_database, kinds, self.directory)
        merge = _Merge(name, [column.name for column in ordered], key_length, report, self.limit)
        try:
            report.tables[name] = merge.run(iter(left.lines), iter(right.lines))
        finally:
            failures = []
            for side, reader in (("source", left), ("target", right)):
                try:
                    reader.finish()
                except CompareError as error:
                    failures.append("%s, table %s: %s" % (side, name, error))
            if failures:
                raise CompareError("; ".join(failures))


class _Address:
    """A server somebody else started."""

    def __init__(self, server, port):
        self.server = server
        server.port = port


def main():
    parser = argparse.ArgumentParser(description="Compares a source database with its place on the target, row by row.")
    parser.add_argument("--source", required=True, metavar="mariadb|mysql:PORT")
    parser.add_argument("--database", required=True)
    parser.add_argument("--target", required=True, type=int, metavar="PORT")
    parser.add_argument("--target-database", required=True)
    parser.add_argument("--schema", default="public")
    parser.add_argument("--tenant", metavar="COLUMN=VALUE")
    parser.add_argument("--zero-dates", choices=["stop", "null", "infinity"], default="stop")
    arguments = parser.parse_args()
    engine, port = arguments.source.split(":")
    source = _Address(servers.source_server(engine), int(port)).server
    target = _Address(servers.Postgres(), arguments.target).server
    column, value = arguments.tenant.split("=", 1) if arguments.tenant else (None, None)
    report = Comparison(source, arguments.database, target, arguments.target_database, arguments.schema, column, value,
                        arguments.zero_dates).run()
    print(report)
    return 0 if report.equal else 1


if __name__ == "__main__":
    sys.exit(main())

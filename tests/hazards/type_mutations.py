"""Small mistakes in how types are planned, decoded and encoded, and the case whose rows must show each.

The copy, the log path and `verify` share the table of types: with most of these `verify` says that all is equal. So only what the servers' own
clients say of a case's rows counts as caught (run_type_mutations.py). An edit's old text must be found exactly once in its file.
"""

from mutations import Edit

MUTANTS = []


class TypeMutant:
    def __init__(self, rule, case, engine, paths, edits):
        self.rule, self.case, self.engine, self.paths, self.edits = rule, case, engine, paths, edits

    def __str__(self):
        return "%s/%s: %s" % (self.case, self.engine, self.rule)

    def line(self):
        return "%-8s %-22s %-12s %s" % (self.engine, self.case, "+".join(self.paths), self.rule)


def mutant(rule, case, *edits, engine="mariadb", paths=("snapshot", "log")):
    """`rule` says in one sentence what the mutant does wrong; edits are (file, old text, new text)."""
    MUTANTS.append(TypeMutant(rule, case, engine, paths, [Edit(*edit) for edit in edits]))


ENCODE = "db/postgres/type_encode.cc"
LOG = "capture/mysql/rows.cc"
TEXT = "  const std::string_view text = field.value.bytes;\n  if (text.empty() || std::memchr"
BYTES = "  return AppendBytes(field, field.value.bytes);"

# ---- numbers

mutant("the ninth digit behind the point is lost", "decimals",
       (ENCODE, "? std::string_view() : text.substr(point + 1);", "? std::string_view() : text.substr(point + 1, 8);"))
mutant("a decimal between -1 and 0 loses its sign", "decimals",
       (ENCODE, "negative && first != last ? int16_t{0x4000}", "negative && whole_groups > 0 ? int16_t{0x4000}"), engine="mysql")
mutant("the last group of a fraction is not filled up to four digits", "decimals",
       (ENCODE, "      sum = sum * 10 + digit_at(group * 4 + i);\n",
        "      if (group * 4 + i < whole_groups * 4 + fraction.size()) {\n        sum = sum * 10 + digit_at(group * 4 + i);\n      }\n"))
mutant("a decimal column has eight digits behind the point at most", "decimals",
       ("db/mysql/column_text.cc", "      column->scale = text.scale;", "      column->scale = text.scale > 8 ? 8 : text.scale;"),
       engine="mysql", paths=("snapshot",))
mutant("BIGINT UNSIGNED is taken for a signed number", "unsigned",
       (ENCODE, '"{}", field.value.u).size)};', '"{}", static_cast<int64_t>(field.value.u)).size)};'), engine="mysql")
mutant("FLOAT goes through text of six digits", "floats",
       (ENCODE, "Writer(field.out).U32(std::bit_cast<uint32_t>(field.value.f));",
        'Writer(field.out).U32(std::bit_cast<uint32_t>(std::strtof(fmt::format("{:.6g}", field.value.f).c_str(), nullptr)));'))
mutant("DOUBLE goes through text of fifteen digits", "floats",
       (ENCODE, "Writer(field.out).I64(std::bit_cast<int64_t>(field.value.d));",
        'Writer(field.out).I64(std::bit_cast<int64_t>(std::strtod(fmt::format("{:.15g}", field.value.d).c_str(), nullptr)));'),
       engine="mysql")
mutant("the sign of a DOUBLE's zero is lost", "floats",
       (ENCODE, "Writer(field.out).I64(std::bit_cast<int64_t>(field.value.d));",
        "Writer(field.out).I64(std::bit_cast<int64_t>(field.value.d == 0 ? 0.0 : field.value.d));"), engine="mysql")
mutant("BIT(64) sends its least byte first", "bits",
       (ENCODE, "writer.U8(static_cast<uint8_t>(left >> (56 - 8 * i)));", "writer.U8(static_cast<uint8_t>(left >> (width == 64 ? 8 * i : 56 - 8 * i)));"),
       engine="mysql")
mutant("BIT(n) is put at the right of its bytes", "bits",
       (ENCODE, "bits : bits << (64 - width);", "bits : bits << (64 - (width + 7) / 8 * 8);"))
mutant("YEAR 0 becomes 2000", "dates",
       (ENCODE, "  if (number < lowest || number > highest) {",
        "  if (field.column.type == ColumnType::kYear && number == 0) {\n    return int64_t{2000};\n  }\n  if (number < lowest || number > highest) {"))

# ---- dates and times

mutant("a DATE before 2000 is a day late", "dates",
       (ENCODE, "Writer(field.out).I32(static_cast<int32_t>(DaysFromCivil(date) - kEpochDays));",
        "Writer(field.out).I32(static_cast<int32_t>(DaysFromCivil(date) - kEpochDays + (DaysFromCivil(date) < kEpochDays ? 1 : 0)));"), engine="mysql")
mutant("DATETIME keeps milliseconds only", "fractions",
       (ENCODE, "Writer(field.out).I64((DaysFromCivil(date) - kEpochDays) * kMicrosPerDay + micros);",
        "Writer(field.out).I64((DaysFromCivil(date) - kEpochDays) * kMicrosPerDay + micros / 1000 * 1000);"))
mutant("DATETIME is taken for a time of India, and written in UTC", "dates",
       (ENCODE, "Writer(field.out).I64((DaysFromCivil(date) - kEpochDays) * kMicrosPerDay + micros);",
        "Writer(field.out).I64((DaysFromCivil(date) - kEpochDays) * kMicrosPerDay + micros - int64_t{19'800'000'000});"), engine="mysql")
mutant("TIMESTAMP is read in the server's own time zone", "dates",
       ("db/mysql/connection.cc", "time_zone = '+00:00', sql_mode = ''", "sql_mode = ''"), paths=("snapshot",))
mutant("the fraction of a TIMESTAMP is lost", "fractions",
       (ENCODE, "Writer(field.out).I64(field.value.i - kEpochDays * kMicrosPerDay);",
        "Writer(field.out).I64(field.value.i / 1'000'000 * 1'000'000 - kEpochDays * kMicrosPerDay);"), engine="mysql")
mutant("a negative TIME loses its sign", "times",
       (ENCODE, "  writer.I64(field.value.i);\n  writer.I32(0);  // days", "  writer.I64(field.value.i < 0 ? -field.value.i : field.value.i);\n  writer.I32(0);  // days"))
mutant("0000-00-00 becomes the last of all days", "zero_dates_infinity",
       (ENCODE, "Writer(field.out).I32(std::numeric_limits<int32_t>::min());", "Writer(field.out).I32(std::numeric_limits<int32_t>::max());"),
       engine="mysql")

# ---- text

mutant("spaces at the end are cut", "text_charsets_common",
       (ENCODE, TEXT, TEXT.replace("field.value.bytes;", "field.value.bytes.substr(0, field.value.bytes.find_last_not_of(' ') + 1);")))
mutant("an empty text is NULL", "text_charsets_common",
       (ENCODE, "  *null = field.value.is_null();", "  *null = field.value.is_null() || (field.value.kind == ValueKind::kText && field.value.bytes.empty());"),
       engine="mysql")
mutant("latin1 is what ISO 8859-1 says, not the server's own", "text_charsets_common",
       ("db/mysql/charset.cc", "      understood = text->Map(*code, *packed);",
        "      const auto byte = static_cast<uint8_t>((*code)[0]);\n      understood = text->Map(*code, code->size() == 1 && byte >= 0x80 && byte < 0xA0 ? "
        "*Pack(std::string(\"\\xC2\") + (*code)[0]) : *packed);"))
mutant("characters beyond 16 bits lose the seventeenth", "text_charsets_common",
       ("db/mysql/charset.cc", "code = 0x10000 + ((code & 0x3FF) << 10)", "code = 0x1000 + ((code & 0x3FF) << 10)"), engine="mysql")
mutant("text of a collation that ignores case is written in small letters", "case_insensitive_values",
       (ENCODE, TEXT, "  std::string small(field.value.bytes);\n  for (char& c : small) {\n    c = static_cast<char>(c >= 'A' && c <= 'Z' && "
        "field.column.collation.ends_with(\"_ci\") ? c + 32 : c);\n  }\n" + TEXT.replace("field.value.bytes;", "small;")))
mutant("a NUL character is removed with what follows it", "nul_bytes_removed",
       (ENCODE, "    if (c != '\\0') {\n      field.out->push_back(c);\n    }", "    if (c == '\\0') {\n      break;\n    }\n    field.out->push_back(c);"),
       engine="mysql")
mutant("numbers of JSON go through DOUBLE", "json",
       (ENCODE, "#include \"db/postgres/type_map.h\"", "#include <nlohmann/json.hpp>\n\n#include \"db/postgres/type_map.h\""),
       (ENCODE, "Status AppendJson(const Field& field) { return AppendText(field); }",
        "Status AppendJson(const Field& field) { return AppendBytes(field, nlohmann::json::parse(field.value.bytes).dump()); }"))
mutant("numbers of MySQL's JSON go through DOUBLE", "json_binary",
       (ENCODE, "#include \"db/postgres/type_map.h\"", "#include <nlohmann/json.hpp>\n\n#include \"db/postgres/type_map.h\""),
       (ENCODE, "  if (text.find(\"\\\\u0000\") == std::string_view::npos) {\n    return AppendText(field);",
        "  if (text.find(\"\\\\u0000\") == std::string_view::npos) {\n    return AppendBytes(field, nlohmann::json::parse(text).dump());"), engine="mysql")
mutant("MariaDB's JSON is stored by value, not by letter", "json_nul_kept",
       ("db/postgres/type_map.cc", 'return Make("json", 114, 199, Encoding::kJson, "json");', 'return Make("jsonb", 3802, 3807, Encoding::kJsonb, "jsonb");'),
       (ENCODE, "    if (field.policy.nul_bytes != NulBytePolicy::kRemove) {\n      return UnfitNul(field, \"JSON with", "    if (false) {\n      return UnfitNul(field, \"JSON with"))

# ---- bytes

mutant("BINARY(n) loses its padding", "binaries",
       (ENCODE, BYTES, "  if (field.column.type == ColumnType::kBinary) {\n    return AppendBytes(field, field.value.bytes.substr(0, "
        "field.value.bytes.find_last_not_of('\\0') + 1));\n  }\n" + BYTES))
mutant("a geometry loses its SRID", "geometry",
       (ENCODE, BYTES, "  if (field.column.type == ColumnType::kGeometry && field.value.bytes.size() > 4) {\n    field.out->append(4, '\\0');\n    "
        "return AppendBytes(field, field.value.bytes.substr(4));\n  }\n" + BYTES), engine="mysql")
mutant("the first four bytes of a UUID change places", "uuid_inet",
       (ENCODE, "  field.out->append(field.value.bytes);\n  return {};",
        "  const std::string_view id = field.value.bytes;\n  field.out->append({id[3], id[2], id[1], id[0]});\n  field.out->append(id.substr(4));\n  return {};"))
mutant("an IPv4 address within IPv6 becomes an IPv4 address", "uuid_inet",
       (ENCODE, "  const size_t size = field.value.bytes.size();\n",
        "  const bool mapped = field.value.bytes.starts_with(std::string_view(\"\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\xff\\xff\", 12));\n"
        "  const std::string_view address = field.value.bytes.substr(mapped ? 12 : 0);\n  const size_t size = address.size();\n"),
       (ENCODE, "  writer.Raw(field.value.bytes);", "  writer.Raw(address);"))
mutant("a vector's numbers are read greatest byte first", "vector",
       (ENCODE, "bytes[index * 4 + i])) << (8 * i);", "bytes[index * 4 + i])) << (8 * (3 - i));"), engine="mysql")

# ---- what only the log path decodes

mutant("ENUM's labels are counted from 0 in the log", "enum_set",
       (LOG, "      value->bytes = labels[v - 1];", "      value->bytes = labels[v % labels.size()];"), paths=("log",))
mutant("SET's members come in the order of their bits turned round", "enum_set",
       (LOG, '    scratch_ += scratch_.empty() ? "" : ",";\n    scratch_ += labels[static_cast<size_t>(std::countr_zero(rest))];',
        '    scratch_ = labels[static_cast<size_t>(std::countr_zero(rest))] + (scratch_.empty() ? "" : ",") + scratch_;'), engine="mysql", paths=("log",))

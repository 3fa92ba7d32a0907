#include "capture/mysql/table_plan.h"

#include <algorithm>
#include <array>

namespace crossfade::capture {

namespace {

// Why the column in the log is not the column we know; empty if it is.
using Difference = std::string;

constexpr uint32_t kUuidBytes = 16;

unsigned MaxCharacterBytes(const std::string& charset) {
  struct Entry {
    std::string_view name;
    unsigned bytes;
  };
  constexpr std::array<Entry, 19> kSets = {{{"utf8mb4", 4},
                                            {"utf8mb3", 3},
                                            {"utf8", 3},
                                            {"ucs2", 2},
                                            {"utf16", 4},
                                            {"utf16le", 4},
                                            {"utf32", 4},
                                            {"big5", 2},
                                            {"cp932", 2},
                                            {"eucjpms", 3},
                                            {"euckr", 2},
                                            {"gb2312", 2},
                                            {"gbk", 2},
                                            {"gb18030", 4},
                                            {"sjis", 2},
                                            {"ujis", 3},
                                            {"binary", 1},
                                            {"filename", 5},
                                            {"", 1}}};
  for (const Entry& entry : kSets) {
    if (entry.name == charset) {
      return entry.bytes;
    }
  }
  return 1;
}

Difference Expect(bool same, const char* what) { return same ? Difference() : Difference(what); }

FieldType IntegerType(uint8_t bits) {
  switch (bits) {
    case 8:
      return FieldType::kTiny;
    case 16:
      return FieldType::kShort;
    case 24:
      return FieldType::kInt24;
    case 32:
      return FieldType::kLong;
    default:
      return FieldType::kLongLong;
  }
}

uint8_t LengthBytes(uint32_t most) { return most > 255 ? 2 : 1; }

Difference PlanInteger(const Column& column, const MappedColumn& mapped, ColumnPlan* plan) {
  plan->coding = column.is_unsigned ? Coding::kUnsigned : Coding::kSigned;
  plan->width = column.bits / 8;
  return Expect(mapped.type == IntegerType(column.bits), "another integer type");
}

Difference PlanNumber(const Column& column, const MappedColumn& mapped, ColumnPlan* plan) {
  switch (column.type) {
    case ColumnType::kFloat:
      plan->coding = Coding::kFloat;
      return Expect(mapped.type == FieldType::kFloat, "not a float");
    case ColumnType::kDouble:
      plan->coding = Coding::kDouble;
      return Expect(mapped.type == FieldType::kDouble, "not a double");
    case ColumnType::kDecimal:
      plan->coding = Coding::kDecimal;
      plan->precision = static_cast<uint8_t>(mapped.meta & 0xFF);
      plan->scale = static_cast<uint8_t>(mapped.meta >> 8);
      return Expect(
          mapped.type == FieldType::kDecimal && plan->precision == column.precision && plan->scale == column.scale,
          "another precision or scale");
    default:
      plan->coding = Coding::kBits;
      plan->width = static_cast<uint8_t>((mapped.meta + 7) / 8);
      return Expect(mapped.type == FieldType::kBit && mapped.meta == column.length, "another number of bits");
  }
}

// The length in the log is in bytes, the catalog's in characters. MariaDB's compressed columns have a byte more.
Difference PlanVarying(const Column& column, const MappedColumn& mapped, unsigned bytes_each, ColumnPlan* plan) {
  plan->compressed = mapped.type == FieldType::kVarcharCompressed;
  plan->width = LengthBytes(mapped.meta);
  const bool type = mapped.type == FieldType::kVarchar || mapped.type == FieldType::kVarString || plan->compressed;
  return Expect(type && mapped.meta == column.length * bytes_each + (plan->compressed ? 1 : 0), "another length");
}

Difference PlanFixed(const Column& column, const MappedColumn& mapped, unsigned bytes_each, ColumnPlan* plan) {
  plan->width = LengthBytes(mapped.meta);
  return Expect(mapped.type == FieldType::kString && mapped.meta == column.length * bytes_each, "another length");
}

Difference PlanUnbounded(const MappedColumn& mapped, ColumnPlan* plan) {
  plan->compressed = mapped.type == FieldType::kBlobCompressed;
  plan->width = static_cast<uint8_t>(mapped.meta);
  return Expect((mapped.type == FieldType::kBlob || plan->compressed) && mapped.meta >= 1 && mapped.meta <= 4,
                "not a text or blob");
}

Difference PlanText(const Column& column, const MappedColumn& mapped, ColumnPlan* plan) {
  plan->coding = Coding::kText;
  switch (column.type) {
    case ColumnType::kChar:
      return PlanFixed(column, mapped, MaxCharacterBytes(column.charset), plan);
    case ColumnType::kVarchar:
      return PlanVarying(column, mapped, MaxCharacterBytes(column.charset), plan);
    case ColumnType::kJsonText:
      plan->coding = Coding::kJsonText;
      return PlanUnbounded(mapped, plan);
    default:
      return PlanUnbounded(mapped, plan);
  }
}

Difference PlanBytes(const Column& column, const MappedColumn& mapped, ColumnPlan* plan) {
  plan->coding = Coding::kBytes;
  switch (column.type) {
    case ColumnType::kBinary:
      plan->pad_to = static_cast<uint32_t>(column.length);
      return PlanFixed(column, mapped, 1, plan);
    case ColumnType::kVarbinary:
      return PlanVarying(column, mapped, 1, plan);
    case ColumnType::kGeometry:
      plan->width = static_cast<uint8_t>(mapped.meta);
      return Expect(mapped.type == FieldType::kGeometry && mapped.meta >= 1 && mapped.meta <= 4, "not a geometry");
    case ColumnType::kVector:
      // MariaDB's travels as a string of bytes.
      plan->coding = Coding::kVector;
      plan->width = mapped.type == FieldType::kVarchar ? LengthBytes(mapped.meta) : static_cast<uint8_t>(mapped.meta);
      return Expect(mapped.type == FieldType::kVector || mapped.type == FieldType::kVarchar, "not a vector");
    default:
      return PlanUnbounded(mapped, plan);
  }
}

Difference PlanTime(const Column& column, const MappedColumn& mapped, ColumnPlan* plan) {
  plan->scale = static_cast<uint8_t>(mapped.meta);
  struct Forms {
    FieldType now;
    Coding now_coding;
    FieldType old;
    Coding old_coding;
  };
  Forms forms{FieldType::kTime2, Coding::kTime2, FieldType::kTime, Coding::kOldTime};
  if (column.type == ColumnType::kDateTime) {
    forms = {FieldType::kDateTime2, Coding::kDateTime2, FieldType::kDateTime, Coding::kOldDateTime};
  } else if (column.type == ColumnType::kTimestamp) {
    forms = {FieldType::kTimestamp2, Coding::kTimestamp2, FieldType::kTimestamp, Coding::kOldTimestamp};
  }
  plan->coding = mapped.type == forms.old ? forms.old_coding : forms.now_coding;
  if (mapped.type == forms.old && column.fraction != 0) {
    return "stored in the old temporal format with a fraction, which cannot be read; ALTER TABLE .. FORCE renews it";
  }
  return Expect(mapped.type == forms.old || (mapped.type == forms.now && mapped.meta == column.fraction),
                "another temporal type or fraction");
}

Difference PlanLabels(const Column& column, const MappedColumn& mapped, ColumnPlan* plan) {
  plan->width = static_cast<uint8_t>(mapped.meta);
  const size_t count = column.labels.size();
  if (column.type == ColumnType::kEnum) {
    plan->coding = Coding::kEnum;
    return Expect(mapped.type == FieldType::kEnum && mapped.meta == (count < 256 ? 1 : 2), "another list of labels");
  }
  plan->coding = Coding::kSet;
  const size_t bytes = (count + 7) / 8;
  return Expect(mapped.type == FieldType::kSet && mapped.meta == (bytes > 4 ? 8 : bytes), "another list of labels");
}

Difference PlanAddress(const Column& column, const MappedColumn& mapped, ColumnPlan* plan) {
  plan->width = 1;
  plan->pad_to = column.type == ColumnType::kInet4 ? 4 : kUuidBytes;
  plan->coding = Coding::kInet;
  if (column.type == ColumnType::kUuid) {
    // Columns made before MariaDB 10.11.5 keep the first format until the table is rebuilt; only the catalog tells.
    const bool first_format = column.source_type.find("/*") != std::string::npos;
    plan->coding = first_format ? Coding::kSwappedUuid : Coding::kUuid;
  }
  return Expect(mapped.type == FieldType::kString && mapped.meta == plan->pad_to, "another type");
}

Difference PlanColumn(const Column& column, const MappedColumn& mapped, ColumnPlan* plan) {
  plan->column = &column;
  switch (column.type) {
    case ColumnType::kInt:
      return PlanInteger(column, mapped, plan);
    case ColumnType::kFloat:
    case ColumnType::kDouble:
    case ColumnType::kDecimal:
    case ColumnType::kBit:
      return PlanNumber(column, mapped, plan);
    case ColumnType::kChar:
    case ColumnType::kVarchar:
    case ColumnType::kText:
    case ColumnType::kJsonText:
      return PlanText(column, mapped, plan);
    case ColumnType::kBinary:
    case ColumnType::kVarbinary:
    case ColumnType::kBlob:
    case ColumnType::kGeometry:
    case ColumnType::kVector:
      return PlanBytes(column, mapped, plan);
    case ColumnType::kTime:
    case ColumnType::kDateTime:
    case ColumnType::kTimestamp:
      return PlanTime(column, mapped, plan);
    case ColumnType::kDate:
      plan->coding = Coding::kDate;
      return Expect(mapped.type == FieldType::kDate || mapped.type == FieldType::kNewDate, "not a date");
    case ColumnType::kYear:
      plan->coding = Coding::kYear;
      return Expect(mapped.type == FieldType::kYear, "not a year");
    case ColumnType::kEnum:
    case ColumnType::kSet:
      return PlanLabels(column, mapped, plan);
    case ColumnType::kJson:
      plan->coding = Coding::kJson;
      plan->json = true;
      plan->width = static_cast<uint8_t>(mapped.meta);
      return Expect(mapped.type == FieldType::kJson, "not JSON");
    case ColumnType::kUuid:
    case ColumnType::kInet4:
    case ColumnType::kInet6:
      return PlanAddress(column, mapped, plan);
    case ColumnType::kBool:
    case ColumnType::kNative:
      break;  // PostgreSQL's
  }
  return "a type that is not known";
}

tl::unexpected<Error> Differs(const TableSchema& schema, const std::string& what) {
  Error error;
  error.error_class = ErrorClass::kData;
  error.code = "CF1210";
  error.component = "capture.mysql";
  error.message = fmt::format("the log has rows of {} in another shape than the one this migration knows: {}",
                              schema.QualifiedName(), what);
  error.object = schema.QualifiedName();
  error.found = what;
  error.fix = "the table was changed; bring the source's table back to the known shape and start again, or copy anew";
  return Fail(std::move(error));
}

bool SameCharset(std::string_view a, std::string_view b) {
  const auto name = [](std::string_view charset) { return charset == "utf8" ? std::string_view("utf8mb3") : charset; };
  return name(a) == name(b);
}

// The optional metadata, as far as the server wrote it.
Difference CompareMetadata(const TableMap& map, const TableSchema& schema, const ServerText& text) {
  for (size_t i = 0; i < map.names.size(); ++i) {
    if (map.names[i] != schema.columns[i].name) {
      return fmt::format("column {} is named {}, not {}", i + 1, map.names[i], schema.columns[i].name);
    }
  }
  for (size_t i = 0; map.is_unsigned && i < schema.columns.size(); ++i) {
    const Column& column = schema.columns[i];
    if (column.type == ColumnType::kInt && (*map.is_unsigned)[i] != column.is_unsigned) {
      return fmt::format("column {} became {}", column.name, column.is_unsigned ? "signed" : "unsigned");
    }
  }
  for (const MappedCharset& mapped : map.charsets) {
    const Column& column = schema.columns[mapped.column];
    const auto known = text.charset_of_collation.find(mapped.collation);
    if (known != text.charset_of_collation.end() && !column.charset.empty() &&
        !SameCharset(known->second, column.charset)) {
      return fmt::format("column {} has character set {}, not {}", column.name, known->second, column.charset);
    }
  }
  return {};
}

Difference CompareLabels(const TableMap& map, const TableSchema& schema, const ServerText& text) {
  std::string label;
  for (const auto& [index, labels] : map.labels) {
    const Column& column = schema.columns[index];
    const std::string& charset = column.charset.empty() ? "utf8mb4" : column.charset;
    const auto converter = text.converter(charset);
    if (!converter) {
      continue;
    }
    bool same = labels.size() == column.labels.size();
    for (size_t i = 0; same && i < labels.size(); ++i) {
      label.clear();
      if ((*converter)->passes_through()) {
        label = labels[i];
      } else {
        (*converter)->Convert(labels[i], &label);
      }
      same = label == column.labels[i];
    }
    if (!same) {
      return fmt::format("column {} has another list of labels", column.name);
    }
  }
  return {};
}

}  // namespace

Result<TablePlan> MakePlan(const TableMap& map, const TableSchema& schema, const ServerText& text) {
  if (map.columns.size() != schema.columns.size()) {
    return Differs(schema, fmt::format("{} columns, not {}", map.columns.size(), schema.columns.size()));
  }
  TablePlan plan;
  plan.schema = &schema;
  plan.columns.resize(schema.columns.size());
  for (size_t i = 0; i < schema.columns.size(); ++i) {
    const Column& column = schema.columns[i];
    ColumnPlan& entry = plan.columns[i];
    if (const Difference difference = PlanColumn(column, map.columns[i], &entry); !difference.empty()) {
      return Differs(schema, fmt::format("column {} ({}): {}", column.name, column.source_type, difference));
    }
    plan.json_columns += entry.json ? 1 : 0;
    if (entry.coding == Coding::kText || entry.coding == Coding::kJsonText) {
      CROSSFADE_ASSIGN(auto converter, text.converter(column.charset.empty() ? "utf8mb4" : column.charset));
      if (!converter->passes_through()) {
        entry.converter = std::move(converter);
      }
    }
  }
  Difference difference = CompareMetadata(map, schema, text);
  if (difference.empty()) {
    difference = CompareLabels(map, schema, text);
  }
  if (!difference.empty()) {
    return Differs(schema, difference);
  }
  return plan;
}

}  // namespace crossfade::capture

#include "capture/mysql/rows.h"

#include <zlib.h>

#include <bit>

#include "capture/mysql/json.h"
#include "capture/mysql/packed_value.h"

namespace crossfade::capture {

namespace {

constexpr uint64_t kMaxColumnBytes = uint64_t{1} << 30;

struct RowsForm {
  ChangeKind kind{};
  bool extra_header = false;  // version 2
  bool compressed = false;
};

RowsForm FormOf(EventType type) {
  switch (type) {
    case EventType::kWriteRowsV1:
      return {ChangeKind::kInsert, false, false};
    case EventType::kUpdateRowsV1:
      return {ChangeKind::kUpdate, false, false};
    case EventType::kDeleteRowsV1:
      return {ChangeKind::kDelete, false, false};
    case EventType::kWriteRows:
      return {ChangeKind::kInsert, true, false};
    case EventType::kUpdateRows:
    case EventType::kPartialUpdateRows:
      return {ChangeKind::kUpdate, true, false};
    case EventType::kDeleteRows:
      return {ChangeKind::kDelete, true, false};
    case EventType::kWriteRowsCompressedV1:
      return {ChangeKind::kInsert, false, true};
    case EventType::kUpdateRowsCompressedV1:
      return {ChangeKind::kUpdate, false, true};
    case EventType::kDeleteRowsCompressedV1:
      return {ChangeKind::kDelete, false, true};
    case EventType::kWriteRowsCompressed:
      return {ChangeKind::kInsert, true, true};
    case EventType::kUpdateRowsCompressed:
      return {ChangeKind::kUpdate, true, true};
    default:
      return {ChangeKind::kDelete, true, true};
  }
}

bool BitIsSet(std::string_view bits, size_t i) { return (static_cast<uint8_t>(bits[i / 8]) >> (i % 8) & 1) != 0; }

size_t CountBits(std::string_view bits, size_t count) {
  size_t set = 0;
  for (size_t i = 0; i < count; ++i) {
    set += BitIsSet(bits, i) ? 1 : 0;
  }
  return set;
}

int64_t SignExtend(uint64_t v, unsigned bytes) {
  const unsigned shift = 64 - 8 * bytes;
  return static_cast<int64_t>(v << shift) >> shift;
}

}  // namespace

bool IsRowsEvent(EventType type) {
  switch (type) {
    case EventType::kWriteRowsV1:
    case EventType::kUpdateRowsV1:
    case EventType::kDeleteRowsV1:
    case EventType::kWriteRows:
    case EventType::kUpdateRows:
    case EventType::kDeleteRows:
    case EventType::kPartialUpdateRows:
    case EventType::kWriteRowsCompressedV1:
    case EventType::kUpdateRowsCompressedV1:
    case EventType::kDeleteRowsCompressedV1:
    case EventType::kWriteRowsCompressed:
    case EventType::kUpdateRowsCompressed:
    case EventType::kDeleteRowsCompressed:
      return true;
    default:
      return false;
  }
}

Result<RowsHeader> ParseRowsHeader(EventType type, std::string_view body) {
  ByteReader in(body);
  RowsHeader header;
  header.table_id = ReadLittleEndian(&in, 6);
  header.flags = in.FixedU16();
  if (!in.ok()) {
    return Malformed(type, "too short");
  }
  return header;
}

tl::unexpected<Error> RowsReader::Bad(std::string_view what) const {
  return Malformed(type_, fmt::format("{}: {}", plan_->schema->QualifiedName(), what));
}

Status RowsReader::Start(EventType type, std::string_view body, const TablePlan& plan) {
  const RowsForm form = FormOf(type);
  type_ = type;
  kind_ = form.kind;
  plan_ = &plan;
  ByteReader in(body);
  in.Skip(8);
  if (form.extra_header) {
    const uint16_t extra = in.FixedU16();
    if (extra < 2) {
      return Bad("extra header too short");
    }
    in.Skip(extra - 2U);
  }
  const size_t columns = plan.columns.size();
  if (ReadLengthEncoded(&in) != columns) {
    return Bad("another number of columns than in its table map");
  }
  present_before_ = present_after_ = in.Bytes((columns + 7) / 8);
  if (kind_ == ChangeKind::kUpdate) {
    present_after_ = in.Bytes((columns + 7) / 8);
  }
  if (!in.ok()) {
    return Bad("too short");
  }
  std::string_view rows = in.rest();
  if (rows.empty()) {
    return Bad("no rows");
  }
  if (form.compressed) {
    unpacked_.clear();
    if (!Unpack(rows, &unpacked_)) {
      return Bad("cannot be decompressed");
    }
    rows = unpacked_;
  }
  rows_ = ByteReader(rows);
  return {};
}

Result<bool> RowsReader::Next() {
  if (rows_.at_end()) {
    return false;
  }
  const size_t before = rows_.remaining();
  arena_.Reset();
  before_.clear();
  after_.clear();
  before_json_.clear();
  if (kind_ != ChangeKind::kInsert) {
    CROSSFADE_TRY(ReadImage(present_before_, false, &before_));
  }
  if (kind_ == ChangeKind::kUpdate && type_ == EventType::kPartialUpdateRows) {
    CROSSFADE_TRY(ReadPartial(present_after_, &after_));
  } else if (kind_ != ChangeKind::kDelete) {
    CROSSFADE_TRY(ReadImage(present_after_, false, &after_));
  }
  if (rows_.remaining() == before) {
    return Bad("rows without any column");
  }
  return true;
}

Status RowsReader::ReadImage(std::string_view present, bool partial, std::vector<Value>* image) {
  const size_t columns = plan_->columns.size();
  const size_t present_columns = CountBits(present, columns);
  std::string_view partial_bits;
  if (partial) {
    partial_bits = rows_.Bytes((plan_->json_columns + 7) / 8);
  }
  const std::string_view nulls = rows_.Bytes((present_columns + 7) / 8);
  if (!rows_.ok()) {
    return Bad("a row ends too early");
  }
  image->resize(columns);
  size_t ordinal = 0;  // among the columns that are present
  size_t json_ordinal = 0;
  for (size_t i = 0; i < columns; ++i) {
    const ColumnPlan& plan = plan_->columns[i];
    const bool diffs = partial && plan.json && BitIsSet(partial_bits, json_ordinal);
    json_ordinal += plan.json ? 1 : 0;
    Value& value = (*image)[i];
    if (!BitIsSet(present, i)) {
      value = Value::Absent();
      continue;
    }
    if (BitIsSet(nulls, ordinal++)) {
      value = Value::Null();
    } else if (diffs) {
      CROSSFADE_TRY(ApplyDiffs(plan, before_[i], &value));
    } else {
      CROSSFADE_TRY(ReadValue(plan, &value));
    }
    if (!rows_.ok()) {
      return Bad(fmt::format("a row ends too early, in column {}", plan.column->name));
    }
  }
  return {};
}

Status RowsReader::ReadPartial(std::string_view present, std::vector<Value>* image) {
  const uint64_t options = ReadLengthEncoded(&rows_);
  if (options > 1) {
    return Bad("options that are not known");
  }
  return ReadImage(present, options == 1, image);
}

Status RowsReader::ReadValue(const ColumnPlan& plan, Value* value) {
  switch (plan.coding) {
    case Coding::kSigned:
      *value = Value::Int(SignExtend(ReadLittleEndian(&rows_, plan.width), plan.width));
      return {};
    case Coding::kUnsigned:
      *value = Value::Uint(ReadLittleEndian(&rows_, plan.width));
      return {};
    case Coding::kFloat:
      *value = Value::Float(std::bit_cast<float>(rows_.FixedU32()));
      return {};
    case Coding::kDouble:
      *value = Value::Double(std::bit_cast<double>(rows_.FixedU64()));
      return {};
    case Coding::kYear: {
      const uint8_t year = rows_.U8();
      *value = Value::Int(year == 0 ? 0 : 1900 + year);
      return {};
    }
    case Coding::kDecimal: {
      char* const text = arena_.Allocate(kMaxDecimalText);
      *value = Value::OfBytes(ValueKind::kDecimal, {text, ReadDecimal(&rows_, plan.precision, plan.scale, text)});
      return {};
    }
    case Coding::kBits:
      *value = Value::Bits(ReadBigEndian(&rows_, plan.width));
      return {};
    case Coding::kDate:
      *value = Value::OfInt(ValueKind::kDate, ReadDate(&rows_));
      return {};
    case Coding::kTime2:
      *value = Value::OfInt(ValueKind::kTime, ReadTime2(&rows_, plan.scale));
      return {};
    case Coding::kDateTime2:
      *value = Value::OfInt(ValueKind::kDateTime, ReadDateTime2(&rows_, plan.scale));
      return {};
    case Coding::kTimestamp2:
      *value = Value::OfInt(ValueKind::kTimestamp, ReadTimestamp2(&rows_, plan.scale));
      return {};
    case Coding::kOldTime:
      *value = Value::OfInt(ValueKind::kTime, ReadOldTime(&rows_));
      return {};
    case Coding::kOldDateTime:
      *value = Value::OfInt(ValueKind::kDateTime, ReadOldDateTime(&rows_));
      return {};
    case Coding::kOldTimestamp:
      *value = Value::OfInt(ValueKind::kTimestamp, ReadOldTimestamp(&rows_));
      return {};
    case Coding::kEnum:
    case Coding::kSet:
      return ReadLabels(plan, value);
    default:
      return ReadString(plan, value);
  }
}

Status RowsReader::ReadLabels(const ColumnPlan& plan, Value* value) {
  const std::vector<std::string>& labels = plan.column->labels;
  const uint64_t v = ReadLittleEndian(&rows_, plan.width);
  *value = Value::OfBytes(ValueKind::kText, {});
  if (plan.coding == Coding::kEnum) {
    if (v > labels.size()) {
      return Bad(fmt::format("column {} has label {} of {}", plan.column->name, v, labels.size()));
    }
    if (v > 0) {  // 0 is what a wrong label became: the empty text
      value->bytes = labels[v - 1];
    }
    return {};
  }
  if (labels.size() < 64 && v >> labels.size() != 0) {
    return Bad(fmt::format("column {} has a label beyond the last of {}", plan.column->name, labels.size()));
  }
  if (std::has_single_bit(v)) {
    value->bytes = labels[static_cast<size_t>(std::countr_zero(v))];
    return {};
  }
  scratch_.clear();
  for (uint64_t rest = v; rest != 0; rest &= rest - 1) {
    scratch_ += scratch_.empty() ? "" : ",";
    scratch_ += labels[static_cast<size_t>(std::countr_zero(rest))];
  }
  value->bytes = arena_.Copy(scratch_);
  return {};
}

Value RowsReader::Padded(ValueKind kind, std::string_view bytes, size_t size) {
  if (bytes.size() >= size) {
    return Value::OfBytes(kind, bytes);
  }
  char* const out = arena_.Allocate(size);
  std::copy(bytes.begin(), bytes.end(), out);
  std::memset(out + bytes.size(), '\0', size - bytes.size());
  return Value::OfBytes(kind, {out, size});
}

Status RowsReader::ReadString(const ColumnPlan& plan, Value* value) {
  std::string_view bytes = rows_.Bytes(ReadLittleEndian(&rows_, plan.width));
  if (plan.compressed) {
    CROSSFADE_ASSIGN(bytes, Decompress(plan, bytes));
  }
  switch (plan.coding) {
    case Coding::kText:
    case Coding::kJsonText:
      return ReadText(plan, bytes, value);
    case Coding::kJson: {
      before_json_.resize(plan_->columns.size());
      before_json_[static_cast<size_t>(&plan - plan_->columns.data())] = bytes;
      scratch_.clear();
      if (rows_.ok() && !JsonToText(bytes, &scratch_)) {
        return Bad(fmt::format("column {} has no JSON document", plan.column->name));
      }
      *value = Value::OfBytes(ValueKind::kJson, arena_.Copy(scratch_));
      return {};
    }
    case Coding::kUuid:
    case Coding::kSwappedUuid: {
      *value = Padded(ValueKind::kUuid, bytes, plan.pad_to);
      if (plan.coding == Coding::kSwappedUuid && value->bytes.size() == plan.pad_to) {
        const std::string_view stored = value->bytes;
        char* const out = arena_.Allocate(plan.pad_to);
        // Stored: node, clock, time high, time middle, time low.
        std::memcpy(out, stored.data() + 12, 4);
        std::memcpy(out + 4, stored.data() + 10, 2);
        std::memcpy(out + 6, stored.data() + 8, 2);
        std::memcpy(out + 8, stored.data() + 6, 2);
        std::memcpy(out + 10, stored.data(), 6);
        value->bytes = {out, plan.pad_to};
      }
      break;
    }
    case Coding::kInet:
      *value = Padded(ValueKind::kInet, bytes, plan.pad_to);
      break;
    case Coding::kVector:
      *value = Value::OfBytes(ValueKind::kVector, bytes);
      return {};
    default:
      *value = Padded(ValueKind::kBytes, bytes, plan.pad_to);
      break;
  }
  if (plan.pad_to > 0 && bytes.size() > plan.pad_to) {
    return Bad(fmt::format("column {} has {} bytes", plan.column->name, bytes.size()));
  }
  return {};
}

Status RowsReader::ReadText(const ColumnPlan& plan, std::string_view bytes, Value* value) {
  const ValueKind kind = plan.coding == Coding::kJsonText ? ValueKind::kJson : ValueKind::kText;
  bool valid = false;
  if (plan.converter == nullptr) {
    valid = mysql::IsUtf8(bytes);
    *value = Value::OfBytes(kind, bytes);
  } else {
    scratch_.clear();
    valid = plan.converter->Convert(bytes, &scratch_);
    *value = Value::OfBytes(kind, arena_.Copy(scratch_));
  }
  if (valid) {
    return {};
  }
  Error error;
  error.error_class = ErrorClass::kData;
  error.code = "CF1213";
  error.component = "capture.mysql";
  error.object = fmt::format("{}.{}", plan_->schema->QualifiedName(), plan.column->name);
  constexpr size_t kShown = 64;
  for (const char c : bytes.substr(0, kShown)) {
    error.found += fmt::format("{:02x}", static_cast<uint8_t>(c));
  }
  error.found += bytes.size() > kShown ? ".." : "";
  error.message = fmt::format("{}: a value of {} bytes is not valid {} text: {}", error.object, bytes.size(),
                              plan.column->charset, error.found);
  error.fix = "mend the value on the source, or take the column's table out of the migration";
  return Fail(std::move(error));
}

Result<std::string_view> RowsReader::Decompress(const ColumnPlan& plan, std::string_view bytes) {
  if (bytes.empty()) {
    return bytes;
  }
  // First byte: 0 for text as it is; else method 8 (zlib) in the high half, then whether the stream is without zlib's
  // own header, and the number of bytes of the length that follows.
  ByteReader in(bytes);
  const uint8_t head = in.U8();
  if (head == 0) {
    return in.rest();
  }
  const uint64_t length = ReadBigEndian(&in, head & 0x07);
  if (!in.ok() || head >> 4 != 8 || (head & 0x07) == 0 || length > kMaxColumnBytes) {
    return Bad(fmt::format("column {} is compressed in a way that is not known", plan.column->name));
  }
  // A stream of n bytes cannot hold more than 1032 n.
  if (length > in.remaining() * 1100 + 64) {
    return Bad(fmt::format("column {} claims too large a size", plan.column->name));
  }
  char* const out = arena_.Allocate(length + 1);
  z_stream stream{};
  if (inflateInit2(&stream, (head & 0x08) != 0 ? -MAX_WBITS : MAX_WBITS) != Z_OK) {
    return Bad("no memory to decompress");
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.rest().data()));
  stream.avail_in = static_cast<uInt>(in.remaining());
  stream.next_out = reinterpret_cast<Bytef*>(out);
  stream.avail_out = static_cast<uInt>(length + 1);
  const int state = inflate(&stream, Z_FINISH);
  const bool good = state == Z_STREAM_END && stream.total_out == length;
  inflateEnd(&stream);
  if (!good) {
    return Bad(fmt::format("column {} cannot be decompressed", plan.column->name));
  }
  return std::string_view(out, length);
}

Status RowsReader::ApplyDiffs(const ColumnPlan& plan, const Value& before, Value* value) {
  const std::string_view diffs = rows_.Bytes(rows_.FixedU32());
  const auto index = static_cast<size_t>(&plan - plan_->columns.data());
  if (before.kind != ValueKind::kJson || index >= before_json_.size()) {
    Error error;
    error.error_class = ErrorClass::kData;
    error.code = "CF1215";
    error.component = "capture.mysql";
    error.object = fmt::format("{}.{}", plan_->schema->QualifiedName(), plan.column->name);
    error.message = fmt::format("{}: the log has only the difference to a value that it does not have", error.object);
    error.fix = "SET GLOBAL binlog_row_image = FULL, or SET GLOBAL binlog_row_value_options = '', then copy anew";
    return Fail(std::move(error));
  }
  scratch_.clear();
  if (rows_.ok() && !ApplyJsonDiffs(before_json_[index], diffs, &scratch_)) {
    return Bad(fmt::format("column {} has a difference that cannot be applied", plan.column->name));
  }
  *value = Value::OfBytes(ValueKind::kJson, arena_.Copy(scratch_));
  return {};
}

}  // namespace crossfade::capture

#include "state/change_codec.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/bytes.h"

namespace crossfade::state {

namespace {

constexpr std::string_view kComponent = "state.journal";

// A value's tag: the kind in the low five bits, a size in the high three.
constexpr uint8_t kKindBits = 5;
constexpr uint8_t kKindMask = (1 << kKindBits) - 1;
constexpr uint8_t kSizeFollows = 7;
// In the kind's place, in the after image of an update: a run of columns that are as they were before.
constexpr uint8_t kSameAsBefore = 31;

constexpr uint8_t kChangeKindBits = 3;
constexpr uint8_t kMostFlags = 0xFF >> kChangeKindBits;

uint8_t Tag(uint8_t kind, uint64_t size) { return static_cast<uint8_t>(kind | (size << kKindBits)); }

uint64_t ZigZag(int64_t v) { return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63); }
int64_t UnZigZag(uint64_t v) { return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1); }

// A number takes as many bytes as it needs, one at least; the tag's size is that less one.
void AppendNumber(uint8_t kind, uint64_t number, std::string* out) {
  const size_t bytes = number == 0 ? 1 : (64 - static_cast<size_t>(__builtin_clzll(number)) + 7) / 8;
  char buffer[1 + sizeof number];
  buffer[0] = static_cast<char>(Tag(kind, bytes - 1));
  std::memcpy(buffer + 1, &number, sizeof number);
  out->append(buffer, 1 + bytes);
}

void AppendRaw(uint8_t kind, const void* bytes, size_t size, std::string* out) {
  out->push_back(static_cast<char>(Tag(kind, 0)));
  out->append(static_cast<const char*>(bytes), size);
}

void AppendBytes(uint8_t kind, std::string_view bytes, std::string* out) {
  ByteWriter writer(out);
  if (bytes.size() < kSizeFollows) {
    writer.U8(Tag(kind, bytes.size()));
  } else {
    writer.U8(Tag(kind, kSizeFollows));
    writer.Varint(bytes.size());
  }
  out->append(bytes);
}

bool AppendValue(const Value& value, std::string* out) {
  const auto kind = static_cast<uint8_t>(value.kind);
  switch (value.kind) {
    case ValueKind::kAbsent:
    case ValueKind::kNull:
      out->push_back(static_cast<char>(Tag(kind, 0)));
      return true;
    case ValueKind::kInt:
    case ValueKind::kDate:
    case ValueKind::kTime:
    case ValueKind::kDateTime:
    case ValueKind::kTimestamp:
      AppendNumber(kind, ZigZag(value.i), out);
      return true;
    case ValueKind::kUint:
    case ValueKind::kBits:
      AppendNumber(kind, value.u, out);
      return true;
    case ValueKind::kFloat:
      AppendRaw(kind, &value.f, sizeof value.f, out);
      return true;
    case ValueKind::kDouble:
      AppendRaw(kind, &value.d, sizeof value.d, out);
      return true;
    case ValueKind::kDecimal:
    case ValueKind::kText:
    case ValueKind::kBytes:
    case ValueKind::kJson:
    case ValueKind::kUuid:
    case ValueKind::kInet:
    case ValueKind::kVector:
    case ValueKind::kNative:
      AppendBytes(kind, value.bytes, out);
      return true;
  }
  return false;
}

bool AppendImage(std::span<const Value> image, std::string* out) {
  return std::all_of(image.begin(), image.end(), [out](const Value& value) { return AppendValue(value, out); });
}

bool AppendAfterUpdate(std::span<const Value> before, std::span<const Value> after, std::string* out) {
  for (size_t i = 0; i < after.size();) {
    size_t same = i;
    while (same < after.size() && Identical(before[same], after[same])) {
      ++same;
    }
    const size_t run = same - i;
    if (run == 0) {
      if (!AppendValue(after[i], out)) {
        return false;
      }
      ++i;
      continue;
    }
    ByteWriter writer(out);
    if (run <= kSizeFollows) {
      writer.U8(Tag(kSameAsBefore, run - 1));
    } else {
      writer.U8(Tag(kSameAsBefore, kSizeFollows));
      writer.Varint(run);
    }
    i = same;
  }
  return true;
}

bool HasBefore(ChangeKind kind) { return kind == ChangeKind::kUpdate || kind == ChangeKind::kDelete; }
bool HasAfter(ChangeKind kind) { return kind == ChangeKind::kUpdate || kind == ChangeKind::kInsert; }

bool ImagesFit(const Change& change) {
  const size_t columns = change.table->columns.size();
  return change.kind >= ChangeKind::kInsert && change.kind <= ChangeKind::kTruncate && change.flags <= kMostFlags &&
         change.before.size() == (HasBefore(change.kind) ? columns : 0) &&
         change.after.size() == (HasAfter(change.kind) ? columns : 0);
}

class BlockDecoder final : public ChangeDecoder {
 public:
  BlockDecoder(TableOf table_of, std::string_view block) : table_of_(std::move(table_of)), in_(block) {
    // No bytes at all are a block without changes.
    broken_ = !block.empty() && in_.U8() != kBlockVersion;
  }

  Result<bool> Next(std::vector<Value>* values, Decoded* change) override {
    if (broken_) {
      return Broken("not a block of changes of version 1");
    }
    if (in_.at_end()) {
      return false;
    }
    const uint64_t id = in_.Varint();
    const uint8_t kind_and_flags = in_.U8();
    const uint64_t columns = in_.Varint();
    *change = {};
    change->kind = static_cast<ChangeKind>(kind_and_flags & ((1 << kChangeKindBits) - 1));
    change->flags = kind_and_flags >> kChangeKindBits;
    if (!in_.ok() || change->kind < ChangeKind::kInsert || change->kind > ChangeKind::kTruncate) {
      return Broken("a change's head is cut or wrong");
    }
    if (!FindTable(id) || columns != table_->columns.size()) {
      return Broken("a change names a table that the journal does not have");
    }
    change->table = table_;
    return Images(columns, values, change);
  }

 private:
  Result<bool> Images(size_t columns, std::vector<Value>* values, Decoded* change) {
    const size_t start = values->size();
    change->before = start;
    change->before_count = HasBefore(change->kind) ? columns : 0;
    change->after = start + change->before_count;
    change->after_count = HasAfter(change->kind) ? columns : 0;
    values->resize(change->after + change->after_count);
    Value* const before = values->data() + change->before;
    Value* const after = values->data() + change->after;
    for (size_t i = 0; i < change->before_count; ++i) {
      if (!ReadValue(in_.U8(), before + i)) {
        return Broken("a value is cut or wrong");
      }
    }
    for (size_t i = 0; i < change->after_count;) {
      const uint8_t tag = in_.U8();
      if ((tag & kKindMask) != kSameAsBefore) {
        if (!ReadValue(tag, after + i)) {
          return Broken("a value is cut or wrong");
        }
        ++i;
        continue;
      }
      const uint8_t size = tag >> kKindBits;
      const uint64_t run = size == kSizeFollows ? in_.Varint() : size + 1;
      if (change->before_count == 0 || run == 0 || run > change->after_count - i) {
        return Broken("a run of unchanged values is wrong");
      }
      std::copy_n(before + i, run, after + i);
      i += run;
    }
    return true;
  }

  bool FindTable(uint64_t id) {
    if (table_ == nullptr || id != table_id_) {
      table_ = id <= UINT32_MAX ? table_of_(static_cast<uint32_t>(id)) : nullptr;
      table_id_ = id;
    }
    return table_ != nullptr;
  }

  uint64_t ReadNumber(size_t bytes) {
    const std::string_view raw = in_.Bytes(bytes);
    uint64_t number = 0;
    if (raw.size() == bytes) {
      std::memcpy(&number, raw.data(), bytes);
    }
    return number;
  }

  bool ReadValue(uint8_t tag, Value* value) {
    const uint8_t size = tag >> kKindBits;
    value->kind = static_cast<ValueKind>(tag & kKindMask);
    switch (value->kind) {
      case ValueKind::kAbsent:
      case ValueKind::kNull:
        break;
      case ValueKind::kInt:
      case ValueKind::kDate:
      case ValueKind::kTime:
      case ValueKind::kDateTime:
      case ValueKind::kTimestamp:
        value->i = UnZigZag(ReadNumber(size_t{size} + 1));
        break;
      case ValueKind::kUint:
      case ValueKind::kBits:
        value->u = ReadNumber(size_t{size} + 1);
        break;
      case ValueKind::kFloat: {
        const uint32_t bits = in_.FixedU32();
        std::memcpy(&value->f, &bits, sizeof bits);
        break;
      }
      case ValueKind::kDouble: {
        const uint64_t bits = in_.FixedU64();
        std::memcpy(&value->d, &bits, sizeof bits);
        break;
      }
      case ValueKind::kDecimal:
      case ValueKind::kText:
      case ValueKind::kBytes:
      case ValueKind::kJson:
      case ValueKind::kUuid:
      case ValueKind::kInet:
      case ValueKind::kVector:
      case ValueKind::kNative:
        value->bytes = in_.Bytes(size == kSizeFollows ? in_.Varint() : size);
        break;
      default:
        return false;
    }
    return in_.ok();
  }

  tl::unexpected<Error> Broken(std::string_view why) {
    broken_ = true;
    return MakeError(ErrorClass::kCorrupt, "CF1304", kComponent, "a block of changes cannot be read: {}", why);
  }

  TableOf table_of_;
  ByteReader in_;
  bool broken_ = false;
  const TableSchema* table_ = nullptr;
  uint64_t table_id_ = 0;
};

}  // namespace

Status EncodeChange(uint32_t table_id, const Change& change, std::string* block) {
  if (change.table == nullptr || !ImagesFit(change)) {
    return MakeError(ErrorClass::kCorrupt, "CF1310", kComponent,
                     "a change of {} (kind {}, flags {}) has images of {} and {} values",
                     change.table == nullptr ? "no table" : change.table->QualifiedName(),
                     static_cast<int>(change.kind), change.flags, change.before.size(), change.after.size());
  }
  const size_t size_before = block->size();
  ByteWriter writer(block);
  if (block->empty()) {
    writer.U8(kBlockVersion);
  }
  writer.Varint(table_id);
  writer.U8(static_cast<uint8_t>(static_cast<uint8_t>(change.kind) | (change.flags << kChangeKindBits)));
  writer.Varint(change.table->columns.size());
  bool fits = AppendImage(change.before, block);
  if (fits) {
    fits = change.kind == ChangeKind::kUpdate ? AppendAfterUpdate(change.before, change.after, block)
                                              : AppendImage(change.after, block);
  }
  if (!fits) {
    block->resize(size_before);
    return MakeError(ErrorClass::kCorrupt, "CF1310", kComponent, "a change of {} has a value of an unknown kind",
                     change.table->QualifiedName());
  }
  return {};
}

std::unique_ptr<ChangeDecoder> DecodeChanges(ChangeDecoder::TableOf table_of, std::string_view block) {
  return std::make_unique<BlockDecoder>(std::move(table_of), block);
}

}  // namespace crossfade::state

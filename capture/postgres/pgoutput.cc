#include "capture/postgres/pgoutput.h"

#include <utility>

namespace crossfade::capture::pgoutput {

namespace {

constexpr std::string_view kComponent = "capture.postgres";
constexpr int64_t kEpochMicros = 946'684'800'000'000;  // 2000-01-01, from which the server counts

}  // namespace

// Big-endian parts off the front. Reading past the end, or what cannot be, leaves it bad for good, and gives zeros.
class Decoder::Reader {
 public:
  explicit Reader(std::string_view rest) : rest_(rest) {}

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  size_t remaining() const { return rest_.size(); }
  void Refuse() {
    ok_ = false;
    rest_ = {};
  }

  std::string_view Bytes(size_t size) {
    if (size > rest_.size()) {
      Refuse();
      return {};
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  template <typename T>
  T Number() {
    T number = 0;
    for (const char c : Bytes(sizeof(T))) {
      number = static_cast<T>(number << 8 | static_cast<uint8_t>(c));
    }
    return number;
  }
  uint8_t U8() { return Number<uint8_t>(); }
  uint16_t U16() { return Number<uint16_t>(); }
  uint32_t U32() { return Number<uint32_t>(); }
  uint64_t U64() { return Number<uint64_t>(); }
  // Wraps round for times that no server can have.
  int64_t Time() { return static_cast<int64_t>(U64() + static_cast<uint64_t>(kEpochMicros)); }
  // Up to a NUL byte, which is taken as well.
  std::string_view String() {
    const size_t size = rest_.find('\0');
    if (size == std::string_view::npos) {
      Refuse();
      return {};
    }
    const std::string_view text = Bytes(size);
    Bytes(1);
    return text;
  }
  bool Flag(uint8_t most) {
    const uint8_t flag = U8();
    if (flag > most) {
      Refuse();
    }
    return flag != 0;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

namespace {

template <typename Reader>
Commit ReadCommit(Reader* in) {
  Commit commit;
  in->U8();  // flags, of which there are none
  commit.commit_lsn = in->U64();
  commit.end_lsn = in->U64();
  commit.commit_time_us = in->Time();
  return commit;
}

template <typename Reader>
Begin ReadBegin(Reader* in) {
  Begin begin;
  begin.commit_lsn = in->U64();
  begin.commit_time_us = in->Time();
  begin.xid = in->U32();
  return begin;
}

template <typename Reader>
Origin ReadOrigin(Reader* in) {
  Origin origin;
  origin.commit_lsn = in->U64();
  origin.name = in->String();
  return origin;
}

template <typename Reader>
Type ReadType(Reader* in) {
  Type type;
  type.id = in->U32();
  type.schema = in->String();
  type.name = in->String();
  return type;
}

template <typename Reader>
StreamStart ReadStreamStart(Reader* in) {
  StreamStart start;
  start.xid = in->U32();
  start.first = in->Flag(1);
  return start;
}

template <typename Reader>
StreamCommit ReadStreamCommit(Reader* in) {
  StreamCommit end;
  end.xid = in->U32();
  end.commit = ReadCommit(in);
  return end;
}

template <typename Reader>
StreamAbort ReadStreamAbort(Reader* in) {
  StreamAbort abort;
  abort.xid = in->U32();
  abort.subxid = in->U32();
  return abort;
}

template <typename Reader>
Message ReadMessage(Reader* in) {
  Message message;
  message.transactional = in->Flag(1);
  message.lsn = in->U64();
  message.prefix = in->String();
  message.content = in->Bytes(in->U32());
  return message;
}

// Within a stream these begin with the xid that they belong to.
bool CarriesXid(char kind) {
  constexpr std::string_view kKinds = "RYIUDTM";
  return kKinds.find(kind) != std::string_view::npos;
}

}  // namespace

Result<Decoded> Decoder::Decode(std::string_view bytes) {
  Reader in(bytes);
  const char kind = static_cast<char>(in.U8());
  Decoded decoded;
  if (in_stream_ && CarriesXid(kind)) {
    decoded.xid = in.U32();
  }
  CROSSFADE_ASSIGN(Decoded body, DecodeBody(kind, &in));
  if (!in.ok() || !in.at_end()) {
    return MakeError(ErrorClass::kCorrupt, "CF1920", kComponent, "a message '{}' of {} bytes {}",
                     kind >= ' ' && kind <= '~' ? kind : '?', bytes.size(),
                     in.ok() ? fmt::format("has {} more than it says", in.remaining())
                             : std::string("is cut short, or holds what it cannot"));
  }
  decoded.message = std::move(body.message);
  if (std::holds_alternative<StreamStart>(decoded.message)) {
    in_stream_ = true;
  } else if (std::holds_alternative<StreamStop>(decoded.message)) {
    in_stream_ = false;
  }
  return decoded;
}

Result<Decoded> Decoder::DecodeBody(char kind, Reader* in) {
  const bool of_stream = kind == 'E' || CarriesXid(kind) || kind == 'O';
  if (in_stream_ && !of_stream) {
    return MakeError(ErrorClass::kCorrupt, "CF1920", kComponent, "a message of kind {} within a streamed transaction",
                     static_cast<int>(kind));
  }
  switch (kind) {
    case 'B':
      return Decoded{0, ReadBegin(in)};
    case 'C':
      return Decoded{0, ReadCommit(in)};
    case 'O':
      return Decoded{0, ReadOrigin(in)};
    case 'R':
      return Decoded{0, ReadRelation(in)};
    case 'Y':
      return Decoded{0, ReadType(in)};
    case 'I':
      return Decoded{0, ReadInsert(in)};
    case 'U':
      return Decoded{0, ReadUpdate(in)};
    case 'D':
      return Decoded{0, ReadDelete(in)};
    case 'T':
      return Decoded{0, ReadTruncate(in)};
    case 'M':
      return Decoded{0, ReadMessage(in)};
    case 'S':
      return Decoded{0, ReadStreamStart(in)};
    case 'E':
      if (!in_stream_) {
        in->Refuse();
      }
      return Decoded{0, StreamStop{}};
    case 'c':
      return Decoded{0, ReadStreamCommit(in)};
    case 'A':
      return Decoded{0, ReadStreamAbort(in)};
    default:
      return MakeError(ErrorClass::kCorrupt, "CF1920", kComponent, "a message of an unknown kind, {}",
                       static_cast<int>(kind));
  }
}

Insert Decoder::ReadInsert(Reader* in) {
  Insert insert;
  insert.relation = in->U32();
  if (in->U8() != 'N') {
    in->Refuse();
  }
  insert.after = ReadTuple(in, &after_);
  return insert;
}

Relation Decoder::ReadRelation(Reader* in) {
  Relation relation;
  relation.id = in->U32();
  relation.schema = in->String();
  relation.name = in->String();
  relation.identity = static_cast<char>(in->U8());
  columns_.clear();
  for (uint16_t left = in->U16(); left > 0 && in->ok(); --left) {
    RelationColumn& column = columns_.emplace_back();
    column.identity = in->Flag(1);
    column.name = in->String();
    column.type = in->U32();
    column.modifier = static_cast<int32_t>(in->U32());
  }
  relation.columns = columns_;
  return relation;
}

Tuple Decoder::ReadTuple(Reader* in, std::vector<Field>* fields) {
  fields->clear();
  for (uint16_t left = in->U16(); left > 0 && in->ok(); --left) {
    Field& field = fields->emplace_back();
    field.kind = static_cast<FieldKind>(in->U8());
    switch (field.kind) {
      case FieldKind::kNull:
      case FieldKind::kUnchanged:
        break;
      case FieldKind::kText:
      case FieldKind::kBinary:
        field.bytes = in->Bytes(in->U32());
        break;
      default:
        in->Refuse();
    }
  }
  return *fields;
}

Update Decoder::ReadUpdate(Reader* in) {
  Update update;
  update.relation = in->U32();
  char part = static_cast<char>(in->U8());
  if (part == 'K' || part == 'O') {
    update.old = static_cast<OldTuple>(part);
    update.before = ReadTuple(in, &before_);
    part = static_cast<char>(in->U8());
  }
  if (part != 'N') {
    in->Refuse();
  }
  update.after = ReadTuple(in, &after_);
  return update;
}

Delete Decoder::ReadDelete(Reader* in) {
  Delete deleted;
  deleted.relation = in->U32();
  const char part = static_cast<char>(in->U8());
  if (part != 'K' && part != 'O') {
    in->Refuse();
  }
  deleted.old = static_cast<OldTuple>(part);
  deleted.before = ReadTuple(in, &before_);
  return deleted;
}

Truncate Decoder::ReadTruncate(Reader* in) {
  Truncate truncate;
  const uint32_t count = in->U32();
  const uint8_t options = in->U8();
  truncate.cascade = (options & 1) != 0;
  truncate.restart_identity = (options & 2) != 0;
  relations_.clear();
  if (count > in->remaining() / sizeof(uint32_t)) {
    in->Refuse();
  }
  for (uint32_t i = 0; i < count && in->ok(); ++i) {
    relations_.push_back(in->U32());
  }
  truncate.relations = relations_;
  return truncate;
}

}  // namespace crossfade::capture::pgoutput

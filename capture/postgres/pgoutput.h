// The messages of PostgreSQL's logical decoding plugin pgoutput, protocol versions 1 and 2. Bytes in, messages out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "core/error.h"

namespace crossfade::capture::pgoutput {

// Times are microseconds since 1970-01-01 UTC. Text is borrowed from the message's bytes, lists from the decoder: both
// are valid until its next call.

struct Begin {
  uint64_t commit_lsn = 0;  // of the commit record itself
  int64_t commit_time_us = 0;
  uint32_t xid = 0;  // top level
};

struct Commit {
  uint64_t commit_lsn = 0;
  uint64_t end_lsn = 0;  // behind the commit record
  int64_t commit_time_us = 0;
};

struct Origin {
  uint64_t commit_lsn = 0;  // on the origin
  std::string_view name;
};

struct RelationColumn {
  bool identity = false;  // of the replica identity; with FULL every column is
  std::string_view name;
  uint32_t type = 0;  // OID
  int32_t modifier = -1;
};

// Comes before the first change of a table in a session, and again when the table may have changed.
struct Relation {
  uint32_t id = 0;
  std::string_view schema;  // empty: pg_catalog
  std::string_view name;
  char identity = 'd';  // pg_class.relreplident
  std::span<const RelationColumn> columns;
};

struct Type {
  uint32_t id = 0;
  std::string_view schema;
  std::string_view name;
};

enum class FieldKind : char {
  kNull = 'n',
  kUnchanged = 'u',  // a TOAST value that was not touched, and is not in the log
  kText = 't',
  kBinary = 'b',
};

struct Field {
  FieldKind kind = FieldKind::kNull;
  std::string_view bytes;
};

using Tuple = std::span<const Field>;

enum class OldTuple : char {
  kNone = 0,
  kKey = 'K',    // only the columns of the replica identity count: the others are there as NULL
  kWhole = 'O',  // replica identity FULL
};

struct Insert {
  uint32_t relation = 0;
  Tuple after;
};

struct Update {
  uint32_t relation = 0;
  OldTuple old = OldTuple::kNone;  // kNone: the identity did not change
  Tuple before;
  Tuple after;
};

struct Delete {
  uint32_t relation = 0;
  OldTuple old = OldTuple::kKey;
  Tuple before;
};

struct Truncate {
  bool cascade = false;
  bool restart_identity = false;
  std::span<const uint32_t> relations;
};

// Of pg_logical_emit_message.
struct Message {
  bool transactional = false;
  uint64_t lsn = 0;
  std::string_view prefix;
  std::string_view content;
};

// Version 2: a transaction that is still open, in pieces between StreamStart and StreamStop.
struct StreamStart {
  uint32_t xid = 0;
  bool first = false;
};

struct StreamStop {};

struct StreamCommit {
  uint32_t xid = 0;
  Commit commit;
};

struct StreamAbort {
  uint32_t xid = 0;
  uint32_t subxid = 0;  // what is undone; equal to xid: all of it
};

// `xid`: the (sub)transaction a change belongs to, within a stream; else 0.
struct Decoded {
  uint32_t xid = 0;
  std::variant<Begin, Commit, Origin, Relation, Type, Insert, Update, Delete, Truncate, Message, StreamStart,
               StreamStop, StreamCommit, StreamAbort>
      message;
};

// One stream's decoder. Knows whether it stands within StreamStart and StreamStop, where messages carry an xid, and
// nothing else of what came before. Not thread-safe.
class Decoder {
 public:
  // Corrupt CF1920 for bytes that are no message: cut short, longer than they say, an unknown kind, a stream within a
  // stream. After an error it stands where it stood.
  Result<Decoded> Decode(std::string_view bytes);
  bool in_stream() const { return in_stream_; }

 private:
  class Reader;

  Result<Decoded> DecodeBody(char kind, Reader* in);
  Relation ReadRelation(Reader* in);
  Tuple ReadTuple(Reader* in, std::vector<Field>* fields);
  Insert ReadInsert(Reader* in);
  Update ReadUpdate(Reader* in);
  Delete ReadDelete(Reader* in);
  Truncate ReadTruncate(Reader* in);

  bool in_stream_ = false;
  std::vector<RelationColumn> columns_;
  std::vector<Field> before_;
  std::vector<Field> after_;
  std::vector<uint32_t> relations_;
};

}  // namespace crossfade::capture::pgoutput

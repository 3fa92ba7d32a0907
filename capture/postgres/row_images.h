// The images of a change, from the tuples of the stream.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "capture/postgres/pgoutput.h"
#include "capture/postgres/relations.h"
#include "core/error.h"
#include "core/value.h"

namespace crossfade::capture {

// One change at a time. What the log does not hold is kAbsent:
//   - values of `after` that were not touched and are stored out of line (TOAST), unless the replica identity is FULL:
//     then `before` has them, and `after` gets them from there;
//   - all but the replica identity's columns in `before`, unless it is FULL. Where an update did not change the
//   identity
//     the log has no `before` at all: its identity is that of `after`;
//   - generated columns, before PostgreSQL 18.
// Corrupt CF1921 for tuples that are none of the table's, CF1420 and CF1421 for values (value_text.h).
class RowImages {
 public:
  Status Take(const CapturedRelation& relation, const pgoutput::Insert& insert);
  Status Take(const CapturedRelation& relation, const pgoutput::Update& update);
  Status Take(const CapturedRelation& relation, const pgoutput::Delete& deleted);

  // Borrowed from this, and from the message's bytes, until the next Take.
  std::span<const Value> before() const { return before_.values; }
  std::span<const Value> after() const { return after_.values; }

 private:
  struct Image {
    std::vector<Value> values;
    std::vector<std::string> texts;  // what values borrow from that are not in the message as they are
  };
  static Status Fill(const CapturedRelation& relation, pgoutput::Tuple tuple, bool identity_only, Image* image);
  static Status CheckFull(const CapturedRelation& relation, pgoutput::OldTuple old);
  static Status CheckIdentity(const CapturedRelation& relation, const Image& image);

  Image before_;
  Image after_;
};

}  // namespace crossfade::capture

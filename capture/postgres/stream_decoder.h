// The events of a slot's stream: messages in, events out.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "capture/postgres/pgoutput.h"
#include "capture/postgres/relations.h"
#include "capture/postgres/row_images.h"
#include "capture/source.h"
#include "core/error.h"
#include "core/position.h"

namespace crossfade::capture {

// Makes the events of a stream that begins behind `from`. Pure, but for what it asks through `next_xid` and the
// relations' TypeName. Not thread-safe.
class StreamDecoder {
 public:
  // The number of the server's next transaction.
  using NextXid = std::function<Result<uint64_t>()>;

  StreamDecoder(Position from, Relations* relations, NextXid next_xid);

  // Under which name the server's positions go from here on: another timeline, perhaps.
  void set_server(std::string server) { position_.server = std::move(server); }

  // One message of the stream; borrowed until the events are taken. Nothing may be pending.
  Status Feed(std::string_view message);
  // All transactions that end at or before it were fed. Within a transaction it says nothing.
  void Advance(uint64_t lsn);
  // What is to be told now: none is left when it gives none.
  std::optional<Event> Take();
  bool pending() const { return next_ < events_.size(); }

  bool in_transaction() const { return begin_.has_value(); }
  // Behind the last transaction, or further on where nothing of interest happened.
  const Position& position() const { return position_; }
  // Whether it has gone on since Told, or the last event that had it.
  bool moved() const { return moved_; }
  void Told() { moved_ = false; }

 private:
  Status Take(const pgoutput::Begin& begin);
  Status Take(const pgoutput::Commit& commit);
  Status Take(const pgoutput::Relation& relation);
  Status Take(const pgoutput::Insert& insert);
  Status Take(const pgoutput::Update& update);
  Status Take(const pgoutput::Delete& deleted);
  Status Take(const pgoutput::Truncate& truncate);
  template <typename Row>
  Status TakeRow(const Row& row, ChangeKind kind);
  Status InTransaction(std::string_view what) const;
  void Push(ChangeKind kind, const TableSchema* table);
  Status WidenFrom(uint32_t xid);

  Relations* relations_;
  NextXid next_xid_;
  pgoutput::Decoder decoder_;
  RowImages images_;
  Position position_;
  std::optional<pgoutput::Begin> begin_;
  bool begun_ = false;  // TransactionBegin was given
  bool moved_ = false;
  uint64_t near_xid_ = 0;  // a transaction of these days
  std::chrono::steady_clock::time_point near_xid_until_;
  std::vector<Event> events_;
  size_t next_ = 0;
};

}  // namespace crossfade::capture

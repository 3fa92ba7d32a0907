// The two sides of a comparison, and what both need to know about a table.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "apply/route.h"
#include "apply/row_reader.h"
#include "core/chunk.h"
#include "core/error.h"
#include "snapshot/limits.h"
#include "snapshot/reader.h"
#include "verify/digest.h"

namespace crossfade::verify {

// One connection to each side. One thread uses them, but for the reads of both that go on at once.
struct Sides {
  std::unique_ptr<snapshot::Reader> source;
  std::unique_ptr<apply::RowReader> target;
};

// Immutable.
class ComparedTable {
 public:
  static Result<std::unique_ptr<ComparedTable>> Make(const apply::Route& route, apply::RowReader* target);

  const apply::Route& route() const { return route_; }
  const apply::RowForm& form() const { return *form_; }
  // For rows as fields, which have been transformed already.
  const apply::Route& stored_route() const { return stored_route_; }
  const apply::RowForm& stored_form() const { return *stored_form_; }
  // Places of the key's columns among a row's fields.
  const std::vector<uint32_t>& key_places() const { return key_places_; }
  bool whole_row() const { return route_.identity == apply::RowIdentity::kWholeRow; }

  // Places of source columns, which the target must have, among a row's fields.
  std::vector<uint32_t> PlacesOf(const std::vector<uint32_t>& columns) const;
  // The fields that tell a row from others.
  void KeyOf(apply::Fields row, std::string* key) const;

 private:
  explicit ComparedTable(const apply::Route& route) : route_(route), stored_route_(route.WithoutTransforms()) {}

  const apply::Route& route_;
  const apply::Route stored_route_;
  std::unique_ptr<apply::RowForm> form_;
  std::unique_ptr<apply::RowForm> stored_form_;
  std::vector<uint32_t> key_places_;
};

// A row of either side; borrowed during the call.
using RowSink =
    std::function<Status(const Digest& key, const Digest& digest, std::string_view key_fields, apply::Fields row)>;

// Reads a range of one side. The source's rows count against `limits`.
Status ReadSource(const ComparedTable& table, const ChunkRange& range, snapshot::Reader* source,
                  snapshot::CopyLimits* limits, const std::stop_token& stop, const RowSink& sink);
Status ReadTarget(const ComparedTable& table, const ChunkRange& range, apply::RowReader* target, const RowSink& sink);

// Reads the source's rows whose `columns` have one of these tuples of fields, and perhaps others. For columns that are
// the key, RowSink's digest of it is left empty.
Status ReadSourceBy(const ComparedTable& table, const std::vector<uint32_t>& columns,
                    std::span<const std::string> tuples, snapshot::Reader* source, const RowSink& sink);

}  // namespace crossfade::verify

// Which captured table a relation of the stream is, and whether it still has the shape that was captured.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "capture/postgres/pgoutput.h"
#include "core/error.h"
#include "core/schema.h"

namespace crossfade::capture {

// A captured table, as the tuples of the stream show it.
struct CapturedRelation {
  const TableSchema* table = nullptr;
  std::vector<uint32_t> columns;  // of the table, for each field of a tuple
  std::vector<bool> identity;     // whether that field belongs to the replica identity
  char replica_identity = 'd';
};

// Not thread-safe. The schemas live as long as this and do not move.
class Relations {
 public:
  // The type as the captured schemas spell it: format_type() of the server, with a schema unless it is pg_catalog.
  using TypeName = std::function<Result<std::string>(uint32_t type, int32_t modifier)>;

  Relations(std::string schema, std::vector<TableSchema> tables, TypeName type_name);

  // The catalog's number of a captured table, by which it is known again under another name.
  void Know(uint32_t id, const std::string& table);
  // Another session begins: the server will name all relations anew.
  void Forget();

  struct Taken {
    const TableSchema* changed = nullptr;  // a captured table that is not what it was
    std::string difference;                // for people
  };
  // A captured table that has changed is not found any more: its rows cannot be read by the schema that we have.
  Result<Taken> Take(const pgoutput::Relation& relation);
  // Null: none that is captured. Corrupt CF1921 if the stream has not named it, Data CF1922 if it has changed.
  Result<const CapturedRelation*> Find(uint32_t id) const;

 private:
  struct Named {
    bool captured = false;
    bool changed = false;
    CapturedRelation relation;
  };
  Result<std::string> DifferenceOf(const pgoutput::Relation& relation, const TableSchema& table,
                                   CapturedRelation* captured) const;

  std::string schema_;
  std::vector<TableSchema> tables_;
  TypeName type_name_;
  std::map<std::string, const TableSchema*, std::less<>> by_name_;
  std::unordered_map<uint32_t, const TableSchema*> known_;
  std::unordered_map<uint32_t, Named> named_;
};

}  // namespace crossfade::capture

// What a column's values become on their way to the target.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/schema.h"
#include "core/value.h"

namespace crossfade::apply {

enum class TransformKind : uint8_t { kNone, kHash, kMask, kCast };

// One column's rule, as an operator writes it.
struct ColumnRule {
  std::string name;      // on the target; empty: as on the source
  bool exclude = false;  // not on the target at all
  TransformKind kind = TransformKind::kNone;
  std::string argument;  // kMask: what is stored instead; kCast: "text", "bigint", "numeric(p,s)"
};

struct TransformRules {
  std::map<std::string, std::string> tables;  // source name to target name
  std::map<std::string, std::map<std::string, ColumnRule>> columns;
  std::string hash_key;  // secret

  bool empty() const { return tables.empty() && columns.empty(); }
  const ColumnRule* Find(std::string_view table, std::string_view column) const;
  // Of all rules and the key, in hex: rows that were made by other rules are other rows. Empty for no rules.
  std::string Fingerprint() const;
};

// Immutable; any thread.
class Transform {
 public:
  // `object` names the column in errors. Config CF1515 for a rule that this column cannot have.
  static Result<std::shared_ptr<const Transform>> Make(const ColumnRule& rule, const Column& source,
                                                       const std::string& object, const std::string& hash_key);

  // What the column is on the target, under its source's name.
  const Column& target() const { return target_; }
  // NULL stays NULL. Bytes are borrowed from `value`, from `storage` (overwritten) or from this. Data CF1516 for a
  // value that the cast cannot hold exactly.
  Result<Value> Apply(const Value& value, std::string* storage) const;
  // "hashed", "masked", "cast to text".
  std::string ToString() const;

 private:
  Transform() = default;
  Status SetUp(const std::string& hash_key);
  Status SetUpHash(const std::string& hash_key);
  Status SetUpMask();
  Status SetUpCast();
  tl::unexpected<Error> Refused(std::string message, std::string fix) const;

  Result<Value> Cast(const Value& value, std::string* storage) const;
  Result<Value> CastToBigint(const Value& value) const;
  Result<Value> CastToNumeric(const Value& value, std::string* storage) const;
  // An integer, or a number with a fraction, as digits; none for what is no number.
  std::optional<std::string> DigitsOf(const Value& value) const;
  tl::unexpected<Error> CannotHold(const Value& value) const;

  ColumnRule rule_;
  std::string object_;
  Column source_;
  Column target_;
  std::string hash_key_;
  Value mask_;  // borrows from rule_
};

}  // namespace crossfade::apply

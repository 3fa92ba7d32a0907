#include "apply/postgres/schema_compare.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "db/postgres/connection.h"

namespace crossfade::apply {

namespace {

// "timestamp(3) without time zone" -> "timestamp without time zone", {3}
struct SplitType {
  std::string base;
  std::vector<int> modifiers;
};

SplitType Split(const std::string& type) {
  const size_t open = type.find('(');
  const size_t close = type.find(')', open);
  if (open == std::string::npos || close == std::string::npos) {
    return {type, {}};
  }
  SplitType out{type.substr(0, open) + type.substr(close + 1), {}};
  const char* at = type.data() + open + 1;
  const char* end = type.data() + close;
  while (at < end) {
    int number = 0;
    const auto parsed = std::from_chars(at, end, number);
    out.modifiers.push_back(number);
    at = parsed.ptr + 1;
  }
  return out;
}

std::string Letters(ReferenceAction action) {
  switch (action) {
    case ReferenceAction::kNoAction:
      return "ar";
    case ReferenceAction::kCascade:
      return "c";
    case ReferenceAction::kSetNull:
      return "n";
    case ReferenceAction::kSetDefault:
      return "d";
  }
  return "";
}

std::string Normal(const WantedIndexPart& part) {
  return NormalPart(part.expression.empty() ? part.column : part.expression);
}

std::vector<std::string> NormalNames(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    out.push_back(NormalPart(name));
  }
  return out;
}

std::string Joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    out += (out.empty() ? "" : ", ") + name;
  }
  return out.empty() ? "none" : out;
}

class Comparison {
 public:
  Comparison(const WantedTable& wanted, const CatalogTable& table, ExtraColumnPolicy policy)
      : wanted_(wanted), table_(table), policy_(policy) {}

  TableDifference Run() {
    for (const WantedColumn& column : wanted_.columns) {
      const CatalogColumn* standing = table_.FindColumn(column.name);
      if (standing == nullptr) {
        Missing(column);
      } else {
        CompareColumn(column, *standing);
      }
    }
    for (const CatalogColumn& standing : table_.columns) {
      CheckExtra(standing);
    }
    ComparePrimaryKey();
    CompareUniqueKeys();
    return std::move(difference_);
  }

 private:
  void Find(bool blocks, const char* code, const std::string& object, std::string found, std::string meaning,
            std::string fix) {
    difference_.findings.push_back(Finding{blocks, code,
                                           table_.schema + "." + table_.name + (object.empty() ? "" : ".") + object,
                                           std::move(found), std::move(meaning), std::move(fix)});
  }
  std::string Alter(const std::string& column, const std::string& what) const {
    return fmt::format("ALTER TABLE {} ALTER COLUMN {} {}", wanted_.QualifiedName(),
                       postgres::Connection::Identifier(column), what);
  }

  void Missing(const WantedColumn& column) {
    if (column.tenant) {
      Find(true, "CF1536", column.name, "missing", "the table is there, but was not made for several tenants",
           "choose another target schema, or add the column to the table and its keys");
    } else if (policy_ == ExtraColumnPolicy::kStop) {
      Find(true, "CF1539", column.name, "missing", "another tenant's table lacks this column",
           fmt::format("ALTER TABLE {} ADD COLUMN {} {}", wanted_.QualifiedName(),
                       postgres::Connection::Identifier(column.name), column.type.sql));
    } else {
      difference_.missing.push_back(&column);
    }
  }

  void CompareColumn(const WantedColumn& column, const CatalogColumn& standing) {
    const std::string type = FormatType(column.type);
    if (!Holds(standing.type, type)) {
      Find(true, column.tenant ? "CF1536" : "CF1531", column.name, standing.type,
           "the column has another type on the target than this source needs: " + type,
           Alter(column.name, "TYPE " + type));
    }
    if (standing.not_null && !column.not_null) {
      Find(true, "CF1533", column.name, "NOT NULL", "the source's column may be NULL",
           Alter(column.name, "DROP NOT NULL"));
    }
    if (column.tenant && !standing.not_null) {
      Find(true, "CF1536", column.name, "may be NULL", "the tenant column tells rows apart",
           Alter(column.name, "SET NOT NULL"));
    }
  }

  void CheckExtra(const CatalogColumn& standing) {
    const bool wanted = std::any_of(wanted_.columns.begin(), wanted_.columns.end(),
                                    [&](const WantedColumn& column) { return column.name == standing.name; });
    if (!wanted && standing.not_null && !standing.filled) {
      Find(true, "CF1532", standing.name, "NOT NULL without a default", "this source has no such column to fill it",
           Alter(standing.name, "DROP NOT NULL") + ", or a default");
    }
  }

  void ComparePrimaryKey() {
    std::vector<std::string> standing;
    for (const CatalogIndex& index : table_.indexes) {
      if (index.primary) {
        standing = index.parts;
      }
    }
    if (standing != NormalNames(wanted_.primary_key)) {
      Find(true, "CF1534", "", "primary key: " + Joined(standing),
           "this source needs the primary key: " + Joined(wanted_.primary_key), "");
    }
  }

  void CompareUniqueKeys() {
    for (const CatalogIndex& index : table_.indexes) {
      const bool wanted = std::any_of(wanted_.indexes.begin(), wanted_.indexes.end(),
                                      [&](const WantedIndex& other) { return SameIndex(other, index); });
      if (index.unique && !index.primary && !wanted) {
        Find(false, "CF1546", "", fmt::format("unique index {} ({})", index.name, Joined(index.parts)),
             "the source has no such key: rows that break it stop the copy",
             fmt::format(
                 "if no other tenant needs it: DROP INDEX {}.{}; of a constraint: ALTER TABLE {} DROP CONSTRAINT {}",
                 postgres::Connection::Identifier(wanted_.schema), postgres::Connection::Identifier(index.name),
                 wanted_.QualifiedName(), postgres::Connection::Identifier(index.name)));
      }
    }
  }

  const WantedTable& wanted_;
  const CatalogTable& table_;
  const ExtraColumnPolicy policy_;
  TableDifference difference_;
};

}  // namespace

TableDifference CompareTable(const WantedTable& wanted, const CatalogTable& table, ExtraColumnPolicy policy) {
  return Comparison(wanted, table, policy).Run();
}

bool Holds(const std::string& existing, const std::string& wanted) {
  if (existing == wanted) {
    return true;
  }
  const SplitType have = Split(existing);
  const SplitType want = Split(wanted);
  // varchar and text have one binary form.
  if (have.base == "text" && want.base == "character varying") {
    return true;
  }
  if (have.base != want.base || have.base == "bit") {
    return false;
  }
  if (have.modifiers.empty()) {
    return true;
  }
  if (want.modifiers.empty()) {
    return false;
  }
  if (have.base == "numeric" && have.modifiers.size() == 2 && want.modifiers.size() == 2) {
    return have.modifiers[1] >= want.modifiers[1] &&
           have.modifiers[0] - have.modifiers[1] >= want.modifiers[0] - want.modifiers[1];
  }
  return have.modifiers[0] >= want.modifiers[0];
}

bool SameIndex(const WantedIndex& wanted, const CatalogIndex& index) {
  if (wanted.unique != index.unique || index.partial || wanted.parts.size() != index.parts.size()) {
    return false;
  }
  for (size_t i = 0; i < wanted.parts.size(); ++i) {
    if (Normal(wanted.parts[i]) != index.parts[i] || wanted.parts[i].descending != index.descending[i]) {
      return false;
    }
  }
  return true;
}

bool SameForeignKey(const WantedForeignKey& wanted, const CatalogForeignKey& key) {
  return wanted.columns == key.columns && wanted.parent_schema == key.parent_schema &&
         wanted.parent_table == key.parent_table && wanted.parent_columns == key.parent_columns &&
         Letters(wanted.on_delete).find(key.on_delete) != std::string::npos &&
         Letters(wanted.on_update).find(key.on_update) != std::string::npos &&
         wanted.set_null_columns == key.set_null_columns;
}

}  // namespace crossfade::apply

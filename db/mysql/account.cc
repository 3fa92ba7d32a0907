#include "db/mysql/account.h"

#include <algorithm>

namespace crossfade::mysql {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') {
    text.remove_prefix(1);
  }
  while (!text.empty() && text.back() == ' ') {
    text.remove_suffix(1);
  }
  return text;
}

// "SELECT, INSERT (a, b), REPLICATION SLAVE": privileges on single columns are left out.
std::vector<std::string> PrivilegeList(std::string_view text) {
  std::vector<std::string> names;
  size_t depth = 0;
  bool on_columns = false;
  std::string name;
  const auto finish = [&] {
    const std::string_view trimmed = Trim(name);
    if (!trimmed.empty() && !on_columns) {
      names.emplace_back(trimmed);
    }
    name.clear();
    on_columns = false;
  };
  for (const char c : text) {
    if (c == '(') {
      ++depth;
      on_columns = true;
    } else if (c == ')') {
      depth -= depth > 0 ? 1 : 0;
    } else if (c == ',' && depth == 0) {
      finish();
    } else if (depth == 0) {
      name += c;
    }
  }
  finish();
  return names;
}

// Takes "`a``b`" off the front; none if there is no such thing.
std::optional<std::string> TakeIdentifier(std::string_view* rest) {
  if (rest->empty() || rest->front() != '`') {
    return std::nullopt;
  }
  std::string name;
  for (size_t i = 1; i < rest->size(); ++i) {
    if ((*rest)[i] != '`') {
      name += (*rest)[i];
    } else if (i + 1 < rest->size() && (*rest)[i + 1] == '`') {
      name += '`';
      ++i;
    } else {
      rest->remove_prefix(i + 1);
      return name;
    }
  }
  return std::nullopt;
}

// As LIKE does, by the byte.
bool Matches(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) {
    return name.empty();
  }
  if (pattern[0] == '%') {
    for (size_t i = 0; i <= name.size(); ++i) {
      if (Matches(pattern.substr(1), name.substr(i))) {
        return true;
      }
    }
    return false;
  }
  if (name.empty()) {
    return false;
  }
  if (pattern[0] == '\\' && pattern.size() > 1) {
    return pattern[1] == name[0] && Matches(pattern.substr(2), name.substr(1));
  }
  return (pattern[0] == '_' || pattern[0] == name[0]) && Matches(pattern.substr(1), name.substr(1));
}

}  // namespace

Result<std::string> CurrentAccount(Connection& connection) {
  CROSSFADE_ASSIGN(const auto account, connection.Scalar("SELECT CURRENT_USER()"));
  const std::string text = account.value_or("");
  const size_t at = text.rfind('@');
  if (at == std::string::npos) {
    return Connection::Identifier(text);
  }
  return Connection::Identifier(text.substr(0, at)) + "@" + Connection::Identifier(text.substr(at + 1));
}

Result<Privileges> Privileges::Read(Connection& connection) {
  Privileges privileges;
  const ServerInfo& server = connection.server();
  std::string sql = "SHOW GRANTS";
  if (server.flavor == Flavor::kMySql && server.version_number >= 80000) {
    // Without naming them, the grants of active roles are not shown in full.
    CROSSFADE_ASSIGN(const auto answer, connection.Scalar("SELECT CURRENT_ROLE()"));
    if (const std::string roles = answer.value_or("NONE"); roles != "NONE") {
      sql = "SHOW GRANTS FOR CURRENT_USER() USING " + roles;
    }
  }
  CROSSFADE_TRY(connection.Query(sql, [&](TextRow row) {
    privileges.AddGrant(row[0].value_or(""));
    return true;
  }));
  return privileges;
}

void Privileges::AddGrant(std::string_view grant) {
  Grant parsed;
  std::string_view rest = grant;
  if (rest.starts_with("REVOKE ")) {
    parsed.revoked = true;
  } else if (!rest.starts_with("GRANT ")) {
    return;
  }
  rest.remove_prefix(parsed.revoked ? 7 : 6);
  const size_t on = rest.find(" ON ");
  if (on == std::string_view::npos) {
    return;  // a role
  }
  parsed.privileges = PrivilegeList(rest.substr(0, on));
  rest.remove_prefix(on + 4);
  if (!rest.starts_with("*.*")) {
    const auto pattern = TakeIdentifier(&rest);
    if (!pattern || !rest.starts_with(".*")) {
      return;  // a table, a routine, a proxy
    }
    parsed.pattern = *pattern;
  }
  grants_.push_back(std::move(parsed));
}

bool Privileges::Names(const Grant& grant, std::string_view privilege) {
  return std::any_of(grant.privileges.begin(), grant.privileges.end(), [&](const std::string& name) {
    return name == privilege || name == "ALL PRIVILEGES" || name == "ALL";
  });
}

bool Privileges::HasGlobal(std::string_view privilege) const {
  return std::any_of(grants_.begin(), grants_.end(), [&](const Grant& grant) {
    return grant.pattern.empty() && !grant.revoked && Names(grant, privilege);
  });
}

bool Privileges::HasOn(std::string_view database, std::string_view privilege) const {
  const auto on_database = [&](const Grant& grant) {
    return !grant.pattern.empty() && Matches(grant.pattern, database) && Names(grant, privilege);
  };
  if (std::any_of(grants_.begin(), grants_.end(),
                  [&](const Grant& grant) { return !grant.revoked && on_database(grant); })) {
    return true;
  }
  return HasGlobal(privilege) && std::none_of(grants_.begin(), grants_.end(),
                                              [&](const Grant& grant) { return grant.revoked && on_database(grant); });
}

}  // namespace crossfade::mysql

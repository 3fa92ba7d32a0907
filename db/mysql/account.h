// Who we are on a server, and what we may do there.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "db/mysql/connection.h"

namespace crossfade::mysql {

// Our account as the server matched it, quoted for GRANT: `repl`@`%`.
Result<std::string> CurrentAccount(Connection& connection);

// Our privileges, with those of the roles that are active.
class Privileges {
 public:
  static Result<Privileges> Read(Connection& connection);

  // From the text of one SHOW GRANTS row; rows that are no grant on a database or on all are passed over.
  void AddGrant(std::string_view grant);

  // Names as SHOW GRANTS writes them: "REPLICATION SLAVE". ALL PRIVILEGES counts as each of them.
  bool HasGlobal(std::string_view privilege) const;
  // On the whole database, or on all.
  bool HasOn(std::string_view database, std::string_view privilege) const;

 private:
  struct Grant {
    std::string pattern;   // as in GRANT ON: % and _ match, \ takes that away; empty: on all databases
    bool revoked = false;  // MySQL's partial revokes
    std::vector<std::string> privileges;
  };
  static bool Names(const Grant& grant, std::string_view privilege);

  std::vector<Grant> grants_;
};

}  // namespace crossfade::mysql

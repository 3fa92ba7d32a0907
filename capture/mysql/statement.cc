#include "capture/mysql/statement.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

namespace crossfade::capture {

namespace {

constexpr uint64_t kAnsiQuotes = 4;
constexpr uint64_t kNoBackslashEscapes = 1ULL << 20;

bool IsWordByte(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return std::isalnum(byte) != 0 || c == '_' || c == '$' || byte >= 0x80;
}

struct Token {
  enum class Kind : uint8_t { kEnd, kWord, kQuotedName, kString, kSymbol };
  Kind kind = Kind::kEnd;
  std::string text;  // a quoted name without its quotes

  bool IsName() const { return kind == Kind::kWord || kind == Kind::kQuotedName; }
};

bool SameWord(std::string_view a, std::string_view upper) {
  return a.size() == upper.size() && std::equal(a.begin(), a.end(), upper.begin(), [](char x, char y) {
           return std::toupper(static_cast<unsigned char>(x)) == y;
         });
}

// Words, names, strings and symbols of a statement. Comments are passed over, but the text inside of those that
// servers run (/*! .. */, /*M! .. */) counts.
class Tokens {
 public:
  Tokens(std::string_view text, uint64_t sql_mode)
      : text_(text),
        ansi_quotes_((sql_mode & kAnsiQuotes) != 0),
        backslash_escapes_((sql_mode & kNoBackslashEscapes) == 0) {
    Advance();
  }

  const Token& current() const { return current_; }
  bool at_end() const { return current_.kind == Token::Kind::kEnd; }
  bool Is(std::string_view word) const { return current_.kind == Token::Kind::kWord && SameWord(current_.text, word); }
  bool IsSymbol(char c) const { return current_.kind == Token::Kind::kSymbol && current_.text[0] == c; }
  bool Accept(std::string_view word) {
    const bool is = Is(word);
    if (is) {
      Advance();
    }
    return is;
  }
  bool AcceptSymbol(char c) {
    const bool is = IsSymbol(c);
    if (is) {
      Advance();
    }
    return is;
  }
  std::string_view rest() const { return text_; }

  void Advance() {
    SkipSpace();
    current_ = Token();
    if (text_.empty()) {
      return;
    }
    const char c = text_[0];
    if (c == '`' || c == '"' || c == '\'') {
      ReadQuoted(c);
    } else if (IsWordByte(c)) {
      const auto end = std::find_if_not(text_.begin(), text_.end(), IsWordByte);
      current_.kind = Token::Kind::kWord;
      current_.text.assign(text_.begin(), end);
      text_.remove_prefix(current_.text.size());
    } else {
      current_.kind = Token::Kind::kSymbol;
      current_.text = c;
      text_.remove_prefix(1);
    }
  }

 private:
  void SkipSpace() {
    while (!text_.empty()) {
      const bool line_comment = text_[0] == '#' || (text_.starts_with("--") &&
                                                    (text_.size() == 2 || static_cast<unsigned char>(text_[2]) <= ' '));
      if (std::isspace(static_cast<unsigned char>(text_[0])) != 0) {
        text_.remove_prefix(1);
      } else if (line_comment) {
        text_.remove_prefix(std::min(text_.find('\n'), text_.size()));
      } else if (text_.starts_with("/*!") || text_.starts_with("/*M!")) {
        text_.remove_prefix(text_[2] == '!' ? 3 : 4);
        while (!text_.empty() && std::isdigit(static_cast<unsigned char>(text_[0])) != 0) {
          text_.remove_prefix(1);
        }
      } else if (text_.starts_with("*/")) {
        text_.remove_prefix(2);
      } else if (text_.starts_with("/*")) {
        const size_t end = text_.find("*/", 2);
        text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 2);
      } else {
        return;
      }
    }
  }

  void ReadQuoted(char quote) {
    const bool name = quote == '`' || (quote == '"' && ansi_quotes_);
    current_.kind = name ? Token::Kind::kQuotedName : Token::Kind::kString;
    text_.remove_prefix(1);
    while (!text_.empty()) {
      const char c = text_[0];
      text_.remove_prefix(1);
      if (c == '\\' && !name && backslash_escapes_ && !text_.empty()) {
        current_.text += text_[0];
        text_.remove_prefix(1);
      } else if (c != quote) {
        current_.text += c;
      } else if (!text_.empty() && text_[0] == quote) {
        current_.text += quote;
        text_.remove_prefix(1);
      } else {
        return;
      }
    }
  }

  std::string_view text_;
  bool ansi_quotes_;
  bool backslash_escapes_;
  Token current_;
};

class Reader {
 public:
  Reader(std::string_view text, std::string_view default_database, uint64_t sql_mode)
      : tokens_(text, sql_mode), default_database_(default_database) {}

  Statement Read() {
    SkipSettings();
    if (tokens_.Accept("BEGIN")) {
      return Of(StatementKind::kBegin);
    }
    if (tokens_.Accept("COMMIT")) {
      return Of(StatementKind::kCommit);
    }
    if (tokens_.Accept("ROLLBACK")) {
      return ReadRollback();
    }
    if (tokens_.Accept("SAVEPOINT")) {
      return Named(StatementKind::kSavepoint);
    }
    if (tokens_.Accept("XA")) {
      return ReadXa();
    }
    if (tokens_.Accept("TRUNCATE")) {
      tokens_.Accept("TABLE");
      ReadTable();
      return Of(StatementKind::kTruncate);
    }
    return ReadChange();
  }

 private:
  // MariaDB logs SET STATEMENT name = value, .. FOR statement as it was given.
  void SkipSettings() {
    while (tokens_.Is("SET")) {
      Tokens ahead = tokens_;
      ahead.Advance();
      if (!ahead.Accept("STATEMENT")) {
        return;
      }
      for (int depth = 0; !ahead.at_end() && (depth > 0 || !ahead.Is("FOR")); ahead.Advance()) {
        depth += ahead.IsSymbol('(') ? 1 : ahead.IsSymbol(')') ? -1 : 0;
      }
      ahead.Accept("FOR");
      tokens_ = ahead;
    }
  }

  Statement Of(StatementKind kind) {
    statement_.kind = kind;
    return std::move(statement_);
  }

  Statement Named(StatementKind kind) {
    statement_.name = tokens_.current().text;
    return Of(kind);
  }

  Statement ReadRollback() {
    tokens_.Accept("WORK");
    if (!tokens_.Accept("TO")) {
      return Of(StatementKind::kRollback);
    }
    tokens_.Accept("SAVEPOINT");
    return Named(StatementKind::kRollbackTo);
  }

  Statement ReadXa() {
    constexpr std::array<std::pair<std::string_view, StatementKind>, 5> kVerbs = {
        {{"START", StatementKind::kXaStart},
         {"BEGIN", StatementKind::kXaStart},
         {"END", StatementKind::kXaEnd},
         {"COMMIT", StatementKind::kXaCommit},
         {"ROLLBACK", StatementKind::kXaRollback}}};
    for (const auto& [verb, kind] : kVerbs) {
      if (tokens_.Is(verb)) {
        // Servers log the name in one form: X'..',X'..',n.
        for (const char c : tokens_.rest()) {
          if (std::isspace(static_cast<unsigned char>(c)) == 0) {
            statement_.name += c == 'x' ? 'X' : c == 'X' ? 'X' : static_cast<char>(std::tolower(c));
          }
        }
        return Of(kind);
      }
    }
    return Of(StatementKind::kOther);
  }

  Statement ReadChange() {
    if (tokens_.Accept("CREATE")) {
      return ReadCreate();
    }
    if (tokens_.Accept("ALTER")) {
      return ReadAlter();
    }
    if (tokens_.Accept("DROP")) {
      return ReadDrop();
    }
    if (tokens_.Accept("RENAME")) {
      return ReadRename();
    }
    // SELECT f() is how a function that writes is logged, for DO f() too.
    for (const std::string_view verb :
         {"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH", "CALL", "DO", "IMPORT", "SELECT"}) {
      if (tokens_.Is(verb)) {
        return ReadDml();
      }
    }
    return Of(StatementKind::kOther);
  }

  Statement ReadCreate() {
    const bool or_replace = tokens_.Accept("OR");
    if (or_replace) {
      tokens_.Accept("REPLACE");
    }
    const bool temporary = tokens_.Accept("TEMPORARY");
    if (tokens_.Accept("TABLE")) {
      statement_.creates_if_absent = AcceptIfExists() && !or_replace;
      ReadTable();
      return Of(temporary ? StatementKind::kTemporaryTable : StatementKind::kTableDdl);
    }
    return temporary ? Of(StatementKind::kOther) : ReadIndex();
  }

  // CREATE or DROP, then words of an index, its name, ON and its table.
  Statement ReadIndex() {
    for (const std::string_view word : {"ONLINE", "OFFLINE", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR"}) {
      tokens_.Accept(word);
    }
    if (!tokens_.Accept("INDEX")) {
      return Of(StatementKind::kOther);
    }
    AcceptIfExists();
    tokens_.Advance();
    while (!tokens_.at_end() && !tokens_.Accept("ON")) {
      tokens_.Advance();  // USING BTREE
    }
    ReadTable();
    return Of(StatementKind::kTableDdl);
  }

  Statement ReadAlter() {
    tokens_.Accept("ONLINE");
    tokens_.Accept("OFFLINE");
    tokens_.Accept("IGNORE");
    if (!tokens_.Accept("TABLE")) {
      return Of(StatementKind::kOther);
    }
    AcceptIfExists();
    ReadTable();
    if (IsKeysOnly()) {
      return Of(StatementKind::kOther);
    }
    // ALTER TABLE a RENAME TO b makes a table, too; RENAME COLUMN, INDEX and KEY do not. EXCHANGE PARTITION p WITH
    // TABLE b and CONVERT PARTITION p TO TABLE b name another one.
    int depth = 0;
    while (!tokens_.at_end()) {
      depth += tokens_.IsSymbol('(') ? 1 : tokens_.IsSymbol(')') ? -1 : 0;
      if (depth == 0 && tokens_.Accept("RENAME")) {
        if (!tokens_.Is("COLUMN") && !tokens_.Is("INDEX") && !tokens_.Is("KEY")) {
          if (!tokens_.Accept("TO")) {
            tokens_.Accept("AS");
          }
          ReadTable();
        }
        continue;
      }
      if (depth == 0 && tokens_.Accept("TABLE")) {
        ReadTable();
        continue;
      }
      tokens_.Advance();
    }
    return Of(StatementKind::kTableDdl);
  }

  // ALTER TABLE .. DISABLE KEYS, ENABLE KEYS: every dump has them, and nothing changes by them.
  bool IsKeysOnly() const {
    Tokens ahead = tokens_;
    return (ahead.Accept("DISABLE") || ahead.Accept("ENABLE")) && ahead.Accept("KEYS") && ahead.at_end();
  }

  Statement ReadDrop() {
    if (tokens_.Is("TEMPORARY")) {
      return Of(StatementKind::kOther);
    }
    if (tokens_.Accept("DATABASE") || tokens_.Accept("SCHEMA")) {
      AcceptIfExists();
      statement_.tables.push_back({tokens_.current().text, ""});
      return Of(StatementKind::kDatabaseDdl);
    }
    if (!tokens_.Accept("TABLE") && !tokens_.Accept("TABLES")) {
      return ReadIndex();
    }
    AcceptIfExists();
    do {
      ReadTable();
    } while (tokens_.AcceptSymbol(','));
    return Of(StatementKind::kTableDdl);
  }

  Statement ReadRename() {
    if (!tokens_.Accept("TABLE") && !tokens_.Accept("TABLES")) {
      return Of(StatementKind::kOther);
    }
    AcceptIfExists();
    do {
      ReadTable();
      while (!tokens_.at_end() && !tokens_.IsSymbol(',') && !tokens_.Accept("TO")) {
        tokens_.Advance();  // WAIT n
      }
      ReadTable();
    } while (tokens_.AcceptSymbol(','));
    return Of(StatementKind::kTableDdl);
  }

  // Which tables it changes is not worked out: each qualified name counts, and the session's database.
  Statement ReadDml() {
    Token before;
    while (!tokens_.at_end()) {
      const Token token = tokens_.current();
      tokens_.Advance();
      if (tokens_.IsSymbol('.') && token.IsName()) {
        tokens_.Advance();
        statement_.tables.push_back({token.text, tokens_.current().text});
      }
    }
    statement_.tables.push_back({default_database_, ""});
    return Of(StatementKind::kDml);
  }

  bool AcceptIfExists() {
    if (!tokens_.Accept("IF")) {
      return false;
    }
    tokens_.Accept("NOT");
    return tokens_.Accept("EXISTS");
  }

  void ReadTable() {
    // A double-quoted name reads as a string where the mode is not known.
    if (tokens_.at_end() || tokens_.current().kind == Token::Kind::kSymbol) {
      return;
    }
    TableReference reference{default_database_, tokens_.current().text};
    tokens_.Advance();
    if (tokens_.AcceptSymbol('.')) {
      reference = {reference.table, tokens_.current().text};
      tokens_.Advance();
    }
    statement_.tables.push_back(std::move(reference));
  }

  Tokens tokens_;
  std::string default_database_;
  Statement statement_;
};

}  // namespace

Statement Classify(std::string_view statement, std::string_view default_database, uint64_t sql_mode) {
  // The four that make up nearly all of a log.
  if (statement == "BEGIN") {
    return {StatementKind::kBegin, {}, false, {}};
  }
  if (statement == "COMMIT") {
    return {StatementKind::kCommit, {}, false, {}};
  }
  return Reader(statement, default_database, sql_mode).Read();
}

}  // namespace crossfade::capture

// One connection to a PostgreSQL server, over libpq: statements, pipelines with binary parameters, binary COPY.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/error.h"

namespace crossfade::postgres {

enum class TlsMode : uint8_t { kOff, kRequired, kVerify };

struct ConnectionOptions {
  std::string host = "127.0.0.1";  // a directory: the unix socket in it
  uint16_t port = 5432;
  std::string user;
  std::string password;  // never printed
  std::string database;
  TlsMode tls = TlsMode::kRequired;
  std::string tls_ca;
  std::string application_name = "crossfade";
  uint32_t connect_timeout_s = 10;
};

// The options as libpq's connection string, for what else speaks libpq (libpqxx). Holds the password: never print it.
std::string ConnectionString(const ConnectionOptions& options);

// A parameter in PostgreSQL's binary form; nullopt is NULL.
struct Parameter {
  uint32_t type = 0;  // OID; 0: the server infers it
  std::optional<std::string_view> bytes;
};

// A result in text form.
struct ResultSet {
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;
  uint64_t affected = 0;  // INSERT, UPDATE, DELETE, COPY
};

// Not thread-safe, but for Cancel. Error classes by SQLSTATE (never by message): Reconnect (08, 57P0x, socket), InDoubt
// (the session was lost while a COMMIT was under way), Transient (40001, 40P01, 55P03, 53xxx), Config (28xxx, 3D000,
// 42501), Data (22xxx, 23xxx, other 42xxx). server_code is the SQLSTATE. The message carries the server's primary text,
// detail, table, column and constraint.
class Connection {
 public:
  // Connects; session: client_encoding UTF8, TimeZone UTC, DateStyle ISO, standard_conforming_strings on, search_path
  // as given by the server, lock_timeout 0, statement_timeout 0, extra_float_digits 3, bytea_output hex, READ
  // COMMITTED.
  static Result<std::unique_ptr<Connection>> Open(const ConnectionOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int backend_pid() const;
  bool in_transaction() const;

  // One or more statements, simple protocol, text result of the last one.
  Result<ResultSet> Execute(const std::string& sql);
  // One statement with text parameters.
  Result<ResultSet> Query(const std::string& sql, const std::vector<std::optional<std::string>>& parameters);
  Result<std::optional<std::string>> Scalar(const std::string& sql,
                                            const std::vector<std::optional<std::string>>& parameters = {});

  // Pipeline: statements are queued and sent without waiting; Collect gives their results in order. `name` is
  // a prepared statement (see Prepare). Sending drains results while the socket is full, so neither side can block.
  Status Prepare(const std::string& name, const std::string& sql, std::span<const uint32_t> types);
  Status PipelineBegin();
  Status PipelineQueue(const std::string& name, std::span<const Parameter> parameters);
  // Ends the pipeline: affected rows of each queued statement. The first error makes all later ones not run.
  // `failed` (if given) gets the index of the statement that failed.
  Result<std::vector<uint64_t>> PipelineCollect(size_t* failed = nullptr);
  // What the first statement of the last pipeline that returned one field of one row has returned; empty: none did.
  const std::string& PipelineReturned() const;
  // Bytes of the largest statement that was queued: libpq keeps that much memory for as long as the session lives.
  size_t largest_statement() const;

  // COPY ... FROM STDIN, begun by `sql`; data as given; CopyEnd returns the rows loaded.
  Status CopyBegin(const std::string& sql);
  Status CopyData(std::string_view bytes);
  Result<uint64_t> CopyEnd();
  void CopyAbort(const std::string& reason);

  // A row's fields, each as its length (4 bytes, big-endian; -1 for NULL) and its binary form; borrowed during the
  // call.
  using FieldsSink = std::function<Status(std::string_view fields)>;
  // COPY (select) TO STDOUT in binary: rows as they arrive, nothing is kept. An error of the sink ends it, and is
  // handed back when the connection is free again.
  Status CopyOut(const std::string& select, const FieldsSink& sink);
  // One statement with binary parameters that selects; rows as they arrive.
  Status QueryBinary(const std::string& sql, std::span<const Parameter> parameters, const FieldsSink& sink);

  // Every commit of this session waits for the disk, whatever the server's setting is or becomes; a stronger one of the
  // account stays.
  Status CommitDurably();

  std::string Literal(std::string_view text) const;
  static std::string Identifier(std::string_view name);

  // From any thread: cancels the running statement, which then fails with Transient (57014).
  void Cancel();

 private:
  struct State;
  Status CopyOutRows(const FieldsSink& sink, std::optional<Error>* refused);
  explicit Connection(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace crossfade::postgres

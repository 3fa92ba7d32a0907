// One migration's TOML file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apply/transform.h"
#include "core/error.h"

namespace crossfade::tools {

// Every setting with its default. Passwords are never part of it: only where to find them.
struct Config {
  std::string path;    // the file it came from
  std::string sha256;  // of the file as it was read, in hex
  std::string name;
  std::string state_dir;

  struct Source {
    std::string engine = "mariadb";
    std::string host = "127.0.0.1";
    uint64_t port = 3306;
    std::string socket;
    std::string user;
    std::string password_env;
    std::string password_file;
    std::string database;
    std::string schema = "public";
    std::string tls = "required";
    std::string tls_ca;
    uint64_t server_id = 0;
  } source;

  struct Target {
    std::string engine = "postgres";
    std::string host = "127.0.0.1";
    uint64_t port = 5432;
    std::string user;
    std::string password_env;
    std::string password_file;
    std::string database;
    std::string schema = "public";
    std::string tls = "required";
    std::string tls_ca;
    bool synchronous_commit = true;
    uint64_t takeover_grace_ms = 5000;
    std::string extra_columns = "add";
  } target;

  struct Tenant {
    std::string mode = "column";
    std::string column = "tenant_id";
    std::string type = "text";
    std::string value;
  } tenant;

  struct Tables {
    std::vector<std::string> include = {"*"};
    std::vector<std::string> exclude;
  } tables;

  struct Transforms {
    std::string hash_key_env;
    std::string hash_key_file;
    apply::TransformRules rules;  // without the key
  } transform;

  struct Snapshot {
    std::string mode = "consistent";
    uint64_t readers = 2;
    uint64_t chunk_rows = 100'000;
    uint64_t max_rows_per_second = 0;
    uint64_t source_max_threads_running = 0;
    uint64_t source_max_history = 0;
  } snapshot;

  struct Journal {
    uint64_t budget_mib = 20'480;
    uint64_t keep_s = 60;
    uint64_t memory_mib = 64;
  } journal;

  struct Apply {
    std::string on_divergence = "stop";
    uint64_t max_batch_kib = 8192;
    uint64_t max_batch_rows = 20'000;
    uint64_t max_source_span_ms = 1000;
  } apply;

  struct Verify {
    uint64_t readers = 2;
    uint64_t chunk_rows = 50'000;
    uint64_t max_rows_per_second = 0;
    uint64_t max_shown = 1000;
    bool continuous = false;
    uint64_t full_interval_s = 86'400;
  } verify;

  struct Types {
    std::string zero_dates = "stop";
    std::string nul_bytes = "stop";
    std::string time = "interval";
    std::string text_keys = "refuse";
  } types;

  struct Http {
    std::string listen;
  } http;

  struct Log {
    std::string level = "info";
    std::string file;
  } log;
};

// Reads and validates a file. Config errors (CF1700 to CF1706) name file, line, what was found and the nearest valid
// key or the values allowed.
Result<Config> LoadConfig(const std::string& path);

// The password of a side, from the environment or a file as configured; empty if neither is set.
// Config error CF1706 when the variable or file is not there.
Result<std::string> ReadPassword(const std::string& side, const std::string& env, const std::string& file);

// The same for the key of hashed columns (transform.hash_key_env, transform.hash_key_file).
Result<std::string> ReadHashKey(const Config& config);

// A full, commented TOML file with every setting and its default.
std::string ExampleConfig();

// docs/configuration.md.
std::string ConfigurationPage();

}  // namespace crossfade::tools

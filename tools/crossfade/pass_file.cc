#include "tools/crossfade/pass_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/clock.h"
#include "core/failpoint.h"
#include "tools/crossfade/verify_output.h"
#include "tools/crossfade/verify_results.h"
#include "verify/digest.h"

namespace crossfade::tools {

namespace {

constexpr int kVersion = 3;
constexpr const char* kSourceSide = "source";
constexpr const char* kTargetSide = "target";
constexpr uint64_t kMaxShown = 1000;  // of a table; with more the file would be read into much memory
constexpr std::chrono::seconds kSyncEvery{1};

std::string NameOf(PassKind kind) { return kind == PassKind::kCommand ? "pass" : "background"; }

std::string PathIn(const std::string& state_dir, PassKind kind) {
  return fmt::format("{}/{}/{}.jsonl", state_dir, kVerifyFolder, NameOf(kind));
}

std::string SumsName(PassKind kind) { return NameOf(kind) + "-sums-"; }

std::string SumsPath(const std::string& state_dir, PassKind kind, const verify::PieceId& piece) {
  return fmt::format("{}/{}/{}{}-{}", state_dir, kVerifyFolder, SumsName(kind), piece.table, piece.chunk);
}

void RemoveSums(const std::string& state_dir, PassKind kind) {
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(state_dir + "/" + kVerifyFolder, error)) {
    if (file.path().filename().string().starts_with(SumsName(kind))) {
      std::filesystem::remove(file.path(), error);
    }
  }
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += fmt::format("{:02x}", static_cast<uint8_t>(c));
  }
  return out;
}

std::string FromHex(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    uint8_t byte = 0;
    std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    out += static_cast<char>(byte);
  }
  return out;
}

// The first line. Nothing if it is of another pass than asked for.
std::optional<InterruptedPass> HeadOf(const nlohmann::json& json, const std::string& identity, int64_t not_before_us) {
  if (!json.is_object() || json.value("version", 0) != kVersion || json.value("identity", "") != identity ||
      json.value("began_us", int64_t{0}) < not_before_us) {
    return std::nullopt;
  }
  Result<snapshot::CopyPlan> plan = snapshot::CopyPlan::Decode(FromHex(json.value("plan", "")));
  Result<Position> from = Position::Decode(FromHex(json.value("from", "")));
  if (!plan || !from) {
    return std::nullopt;
  }
  InterruptedPass pass;
  pass.so_far.from = std::move(*from);
  pass.so_far.began_us = json.value("began_us", int64_t{0});
  pass.so_far.followed.value = json.value("followed", uint64_t{0});
  pass.so_far.resumed = 1;
  pass.so_far.tables.resize(plan->tables.size());
  pass.plan = std::move(*plan);
  return pass;
}

void BeginAnew(uint32_t table, verify::PassSoFar* so_far) {
  std::erase_if(so_far->done, [&](const verify::PieceId& piece) { return piece.table == table; });
  std::erase_if(so_far->pages, [&](const auto& page) { return page.first.table == table; });
  so_far->tables[table] = {};
}

// False for what is no line of ours.
bool AddLine(const nlohmann::json& json, InterruptedPass* pass) {
  if (!json.is_object()) {
    return false;
  }
  if (json.contains("resumed_us")) {
    ++pass->so_far.resumed;
    return true;
  }
  if (json.contains("followed")) {
    pass->so_far.followed.value = json.value("followed", uint64_t{0});
    if (std::string moved = FromHex(json.value("moved", "")); !moved.empty()) {
      pass->so_far.moved.push_back(std::move(moved));
    }
    for (const uint32_t table : json.value("settled", std::vector<uint32_t>())) {
      pass->so_far.settled.insert(table);
    }
    return true;
  }
  if (const uint32_t table = json.value("anew", UINT32_MAX); table < pass->plan.tables.size()) {
    BeginAnew(table, &pass->so_far);
    return true;
  }
  const verify::PieceId piece{json.value("table", UINT32_MAX), json.value("chunk", UINT32_MAX)};
  const auto found = json.find("found");
  if (found == json.end() || piece.table >= pass->plan.tables.size() ||
      piece.chunk >= pass->plan.tables[piece.table].chunks.size()) {
    return false;
  }
  std::optional<verify::TableOutcome> part = TableFromJson(*found);
  if (!part) {
    return false;
  }
  if (pass->so_far.done.contains(piece)) {
    return true;
  }
  pass->so_far.tables[piece.table].Add(std::move(*part),
                                       verify::ShownLimits::ForEachOf(pass->plan.tables.size(), kMaxShown));
  if (!json.contains("side")) {
    pass->so_far.done.insert(piece);
    return true;
  }
  const bool of_target = json.value("side", "") == kTargetSide;
  pass->so_far.pages[piece] = {of_target ? verify::PagePlace::Step::kTarget : verify::PagePlace::Step::kSource,
                               FromHex(json.value("after", ""))};
  return true;
}

}  // namespace

std::string PassIdentity(const Config& c, const std::string& journal_id, const apply::RouteSet& routes) {
  std::string text = fmt::format("{}|{}:{}{}/{}|{}:{}/{}/{}|{}|{}|{}|{}|", journal_id, c.source.host, c.source.port,
                                 c.source.socket, c.source.database, c.target.host, c.target.port, c.target.database,
                                 c.target.schema, c.tenant.mode, c.tenant.column, c.tenant.value, c.verify.chunk_rows);
  text += fmt::format("{}|{}|{}|{}|", c.types.zero_dates, c.types.nul_bytes, c.types.time, c.types.text_keys);
  text += routes.rules().transforms.Fingerprint() + "|";
  for (const auto& route : routes.routes()) {
    text += route->source.Encode();
  }
  const verify::Digest digest = verify::DigestOf(text);
  return fmt::format("{:016x}{:016x}", digest.high, digest.low);
}

std::optional<InterruptedPass> PassFile::Load(const std::string& state_dir, PassKind kind,
                                              const std::string& identity) {
  std::ifstream in(PathIn(state_dir, kind), std::ios::binary);
  std::optional<InterruptedPass> pass;
  const int64_t not_before_us = WallMicros() - std::chrono::microseconds(kMaxAgeOfInterrupted).count();
  std::string line;
  std::streamoff good = 0;
  while (std::getline(in, line) && !in.eof()) {  // a line without an end was torn
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
    try {
      if (pass && !AddLine(json, &*pass)) {
        break;
      }
      if (!pass) {
        pass = HeadOf(json, identity, not_before_us);
      }
      if (!pass) {
        break;
      }
    } catch (const nlohmann::json::exception&) {
      break;  // a member of another type
    }
    good += static_cast<std::streamoff>(line.size()) + 1;
  }
  std::error_code error;
  if (pass) {
    for (uint32_t table = 0; table < pass->plan.tables.size(); ++table) {
      const verify::PieceId piece{table, 0};  // only what is one piece has sums
      if (std::string sums = ReadFile(SumsPath(state_dir, kind, piece));
          !sums.empty() && !pass->so_far.done.contains(piece)) {
        pass->so_far.sums[piece] = std::move(sums);
      }
    }
    std::filesystem::resize_file(PathIn(state_dir, kind), static_cast<uintmax_t>(good), error);
  }
  return error ? std::nullopt : std::move(pass);
}

Result<std::unique_ptr<PassFile>> PassFile::GoOn(const std::string& state_dir, PassKind kind) {
  const std::string path = PathIn(state_dir, kind);
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0) {
    return CannotKeep(path, errno);
  }
  std::unique_ptr<PassFile> file(new PassFile(state_dir, kind, path, fd));
  CROSSFADE_TRY(file->Append(nlohmann::json{{"resumed_us", WallMicros()}}.dump()));
  return file;
}

Result<std::unique_ptr<PassFile>> PassFile::BeginNew(const std::string& state_dir, PassKind kind,
                                                     const std::string& identity, const snapshot::CopyPlan& plan) {
  CROSSFADE_TRY(MakeVerifyFolder(state_dir));
  const std::string path = PathIn(state_dir, kind);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) {
    return CannotKeep(path, errno);
  }
  RemoveSums(state_dir, kind);  // before there is a pass to which they could belong
  std::unique_ptr<PassFile> file(new PassFile(state_dir, kind, path, fd));
  file->identity_ = identity;
  file->plan_ = Hex(plan.Encode());
  return file;
}

Status PassFile::Remove(const std::string& state_dir, PassKind kind) {
  std::error_code error;
  std::filesystem::remove(PathIn(state_dir, kind), error);
  RemoveSums(state_dir, kind);
  return error ? Status(CannotKeep(PathIn(state_dir, kind), error.value())) : Status{};
}

PassFile::~PassFile() { ::close(fd_); }

Status PassFile::Begin(const Position& from, int64_t began_us, Seq followed) {
  return Append(nlohmann::json{
      {"version", kVersion},
      {"identity", identity_},
      {"began_us", began_us},
      {"from", Hex(from.Encode())},
      {"followed", followed.value},
      {"plan",
       plan_}}.dump());
}

Status PassFile::PageDone(const verify::PieceId& piece, const verify::PagePlace& place,
                          const verify::TableOutcome& part) {
  const bool of_target = place.step == verify::PagePlace::Step::kTarget;
  return Append(nlohmann::json{{"table", piece.table},
                               {"chunk", piece.chunk},
                               {"side", of_target ? kTargetSide : kSourceSide},
                               {"after", Hex(place.after)},
                               {"found", JsonOf(part)}}
                    .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

Status PassFile::KeepSums(const verify::PieceId& piece, std::string_view sums) {
  return ReplaceFile(SumsPath(state_dir_, kind_, piece), sums);
}

Status PassFile::PieceDone(const verify::PieceId& piece, const verify::TableOutcome& part) {
  CROSSFADE_TRY(Append(nlohmann::json{{"table", piece.table}, {"chunk", piece.chunk}, {"found", JsonOf(part)}}.dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace)));
  std::error_code error;
  std::filesystem::remove(SumsPath(state_dir_, kind_, piece), error);
  return {};
}

Status PassFile::Followed(Seq followed, std::string_view moved, const std::set<uint32_t>& settled) {
  nlohmann::json line = {{"followed", followed.value}};
  if (!moved.empty()) {
    line["moved"] = Hex(moved);
  }
  if (!settled.empty()) {
    line["settled"] = settled;
  }
  return Append(line.dump());
}

Status PassFile::Anew(uint32_t table) {
  CROSSFADE_TRY(Append(nlohmann::json{{"anew", table}}.dump()));
  std::error_code error;
  std::filesystem::remove(SumsPath(state_dir_, kind_, {table, 0}), error);
  return {};
}

Status PassFile::Append(const std::string& line) {
  const std::string bytes = line + "\n";
  CROSSFADE_FAILPOINT("verify.note.before");
  const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
  if (written != static_cast<ssize_t>(bytes.size())) {
    return CannotKeep(path_, written < 0 ? errno : ENOSPC);
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - synced_ >= kSyncEvery) {
    synced_ = now;
    if (::fdatasync(fd_) != 0) {
      return CannotKeep(path_, errno);
    }
  }
  CROSSFADE_FAILPOINT("verify.note.after");
  return {};
}

}  // namespace crossfade::tools

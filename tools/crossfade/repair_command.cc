#include "tools/crossfade/repair_command.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "snapshot/limits.h"
#include "state/audit_log.h"
#include "tools/crossfade/audit_trail.h"
#include "tools/crossfade/pipeline.h"
#include "tools/crossfade/signal_stop.h"
#include "tools/crossfade/verify_output.h"
#include "tools/crossfade/verify_session.h"
#include "tools/crossfade/verify_watch.h"
#include "verify/behind.h"
#include "verify/repair.h"
#include "verify/shown.h"
#include "verify/verifier.h"
#include "verify/writers.h"

namespace crossfade::tools {

namespace {

constexpr std::string_view kComponent = "repair";
// Of one repair: it is one transaction, and its plan is for a person to read.
constexpr uint64_t kMaxRows = 10'000;
constexpr uint64_t kMaxBytes = 64 << 20;
constexpr uint64_t kMaxKeysBehind = 100'000;
constexpr size_t kRowsOfARecord = 50;
constexpr size_t kMaxKeyBytes = 200;

// A pass over all tables, its differences as a plan. The plan's rows live as long as it.
class PlanningPass {
 public:
  PlanningPass(VerifySession* session, state::Journal* journal, ConsoleMode console)
      : session_(session), journal_(journal), console_(console) {}

  Status Run(const std::stop_token& stop) {
    CROSSFADE_ASSIGN(tables_, session_->Plan());
    const Config& config = session_->config();
    verify::VerifyOptions options;
    options.between = &between_;
    options.readers = static_cast<uint32_t>(config.verify.readers);
    options.max_shown = config.verify.max_shown;
    options.paged_from_rows = config.verify.chunk_rows;
    options.on_difference = [this](const verify::ComparedTable& table, const verify::Difference& difference) {
      plan_.Add(table, difference);
      return Status();
    };
    verifier_ = std::make_unique<verify::Verifier>(
        &tables_, &session_->routes(), journal_, &session_->order(), &limits_, [this] { return session_->OpenSides(); },
        options);
    const VerifyWatch watch(config, session_->source(), &limits_, &between_, verifier_.get(), console_);
    CROSSFADE_ASSIGN(outcome_, verifier_->Run(stop));
    return LookBehind(stop);
  }

  // What the repaired rows' keys show now.
  Result<uint64_t> StillDifferent(const std::stop_token& stop) {
    std::map<const verify::ComparedTable*, std::vector<std::string>> keys;
    for (const verify::RowRepair& row : plan_.rows()) {
      if (row.left.empty()) {
        keys[row.table].push_back(row.difference.key);
      }
    }
    CROSSFADE_ASSIGN(const verify::Sides sides, session_->OpenSides());
    uint64_t different = 0;
    for (auto& [table, of_table] : keys) {
      CROSSFADE_ASSIGN(const verify::Decision decision,
                       verify::Recheck(*table, session_->routes(), std::move(of_table), sides, journal_,
                                       session_->order(), &limits_, {}, stop));
      different += decision.differences.size();
    }
    return different;
  }

  const verify::Outcome& outcome() const { return outcome_; }
  verify::RepairPlan& plan() { return plan_; }
  // Rows that the pass did not decide.
  uint64_t undecided() const { return outcome_.undecided() + undecided_behind_; }
  // The journal holds more than was looked at.
  bool more_behind() const { return more_behind_; }

 private:
  // Rows that are missing here, and that the source has removed meanwhile, are equal to the pass.
  Status LookBehind(const std::stop_token& stop) {
    CROSSFADE_ASSIGN(const verify::Sides sides, session_->OpenSides());
    CROSSFADE_ASSIGN(const apply::Progress applied, sides.target->BeginState());
    sides.target->EndState();
    verify::KeysByTable keys;
    const std::vector<const verify::ComparedTable*> tables = verifier_->tables();
    CROSSFADE_ASSIGN(const bool all, verify::ReadKeysBehind(tables, journal_, applied.low, kMaxKeysBehind, &keys));
    more_behind_ = !all;
    for (const auto& [table, of_table] : keys) {
      std::vector<std::string> some;
      for (const std::string& key : of_table) {
        if (!plan_.Holds(*table, key)) {
          some.push_back(key);
        }
      }
      CROSSFADE_ASSIGN(verify::Decision decision, verify::Recheck(*table, session_->routes(), std::move(some), sides,
                                                                  journal_, session_->order(), &limits_, {}, stop));
      CROSSFADE_TRY(
          verify::FindWriters(*table, session_->routes(), sides.target.get(), journal_, {}, decision.differences));
      for (const verify::Difference& difference : decision.differences) {
        plan_.Add(*table, difference);
      }
      undecided_behind_ += decision.undecided.size();
    }
    return {};
  }

  VerifySession* session_;
  state::Journal* journal_;
  const ConsoleMode console_;
  snapshot::CopyPlan tables_;
  snapshot::CopyLimits limits_;
  snapshot::CopyLimits between_;
  std::unique_ptr<verify::Verifier> verifier_;
  verify::RepairPlan plan_{kMaxRows, kMaxBytes};
  verify::Outcome outcome_;
  uint64_t undecided_behind_ = 0;
  bool more_behind_ = false;
};

struct Done {
  uint64_t repaired = 0;
  uint64_t still_different = 0;
};

const char* NameOf(verify::RepairKind kind) {
  switch (kind) {
    case verify::RepairKind::kInsert:
      return "insert";
    case verify::RepairKind::kUpdate:
      return "update";
    case verify::RepairKind::kDelete:
      return "delete";
  }
  return "";
}

nlohmann::json JsonOfRow(const verify::RowRepair& row) {
  const verify::ComparedTable& table = *row.table;
  std::vector<std::string_view> due;
  std::vector<std::string_view> target;
  apply::SplitFields(row.difference.due, &due);
  apply::SplitFields(row.difference.target, &target);
  nlohmann::json columns = nlohmann::json::array();
  for (uint32_t place = 0; place < table.route().columns.size(); ++place) {
    const bool set = row.kind != verify::RepairKind::kUpdate ||
                     std::find(row.places.begin(), row.places.end(), place) != row.places.end();
    if (!set) {
      continue;
    }
    nlohmann::json column = {{"column", verify::ColumnName(table, place)}};
    if (row.kind != verify::RepairKind::kDelete) {
      column["to"] = verify::Shown(table, place, due[place]);
    }
    if (row.kind != verify::RepairKind::kInsert) {
      column["is"] = verify::Shown(table, place, target[place]);
    }
    columns.push_back(std::move(column));
  }
  nlohmann::json json = {{"action", NameOf(row.kind)},
                         {"table", table.route().source.name},
                         {"key", verify::ShownKey(table, row.difference.key)},
                         {"copies", row.copies},
                         {"columns", std::move(columns)},
                         {"statement", verify::Sentence(row)},
                         {"writer", JsonOf(row.difference.writer)}};
  if (!row.left.empty()) {
    json["left"] = row.left;
  }
  return json;
}

void PrintPlan(const PlanningPass& pass, const verify::RepairPlan& plan) {
  std::map<verify::RepairKind, uint64_t> rows;
  for (const verify::RowRepair& row : plan.rows()) {
    ++rows[row.kind];
    const std::string writer = verify::ShownWriter(row.difference.writer);
    std::cout << verify::Sentence(row) << "\n" << (writer.empty() ? "" : "    " + writer + "\n");
  }
  std::cout << fmt::format("plan: insert={} update={} delete={} foreign={} undecided={} untold={} beyond={}\n",
                           rows[verify::RepairKind::kInsert], rows[verify::RepairKind::kUpdate],
                           rows[verify::RepairKind::kDelete], plan.foreign(), pass.undecided(), plan.untold(),
                           plan.beyond());
  if (pass.more_behind()) {
    std::cout << "the journal holds more than was looked at: apply it with 'crossfade run', and repeat\n";
  }
  for (const verify::TableOutcome& table : pass.outcome().tables) {
    if (table.undecided > 0) {
      std::cout << fmt::format("{}: {} rows undecided: {}\n", table.table, table.undecided, table.why_undecided);
    }
  }
}

void PrintJson(const PlanningPass& pass, const verify::RepairPlan& plan, const Done* done) {
  nlohmann::json json = JsonOf(pass.outcome());
  json["plan"] = nlohmann::json::array();
  for (const verify::RowRepair& row : plan.rows()) {
    json["plan"].push_back(JsonOfRow(row));
  }
  json["undecided"] = pass.undecided();
  json["more_behind"] = pass.more_behind();
  json["foreign"] = plan.foreign();
  json["untold"] = plan.untold();
  json["beyond"] = plan.beyond();
  if (done != nullptr) {
    json["repaired"] = done->repaired;
    json["still_different"] = done->still_different;
  }
  std::cout << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

// Key, columns, and the SHA-256 of both images: the log is no copy of the rows.
nlohmann::json RecordOf(const verify::RowRepair& row) {
  nlohmann::json columns = nlohmann::json::array();
  for (const uint32_t place : row.places) {
    columns.push_back(verify::ColumnName(*row.table, place));
  }
  nlohmann::json json = {{"action", NameOf(row.kind)},
                         {"table", row.table->route().source.name},
                         {"copies", row.copies},
                         {"columns", std::move(columns)},
                         {"key_sha256", state::Sha256(row.difference.key)},
                         {"foreign", row.difference.writer.foreign}};
  if (!row.table->whole_row()) {
    json["key"] = verify::ShownKey(*row.table, row.difference.key).substr(0, kMaxKeyBytes);
  }
  if (row.difference.target_count > 0) {
    json["target_sha256"] = state::Sha256(row.difference.target);
  }
  if (row.difference.due_count > 0) {
    json["due_sha256"] = state::Sha256(row.difference.due);
  }
  if (!row.left.empty()) {
    json["left"] = true;
  }
  return json;
}

// What is to be done, before, and what was done, in as many records as it takes. The target is told once, of the last.
Status Record(const Config& config, std::string_view action, const verify::RepairPlan& plan, Seq applied,
              const nlohmann::json& more) {
  nlohmann::json rows = nlohmann::json::array();
  for (size_t i = 0; i < plan.rows().size(); ++i) {
    rows.push_back(RecordOf(plan.rows()[i]));
    if (rows.size() == kRowsOfARecord || i + 1 == plan.rows().size()) {
      nlohmann::json details = more;
      details["seq"] = applied.value;
      details["rows"] = std::exchange(rows, nlohmann::json::array());
      CROSSFADE_TRY(AppendAction(config, action, details));
    }
  }
  TellHead(config);
  return {};
}

// The end of a plan or of a repair: what came of it, and whether anything was written.
Status RecordEnd(const Config& config, std::string_view action, const nlohmann::json& details) {
  return std::filesystem::exists(config.state_dir) ? RecordAction(config, action, details) : Status();
}

nlohmann::json CountsOf(const PlanningPass& pass, const verify::RepairPlan& plan) {
  return {{"planned", plan.rows().size()},
          {"foreign", plan.foreign()},
          {"undecided", pass.undecided()},
          {"untold", plan.untold()},
          {"beyond", plan.beyond()}};
}

const char* ResultOf(const Error& error) {
  return error.code == "CF1840" ? "refused" : error.code == "CF1841" ? "declined" : "failed";
}

Status RefuseForeign(const verify::RepairPlan& plan) {
  for (const verify::RowRepair& row : plan.rows()) {
    if (row.difference.writer.foreign) {
      Error error{
          ErrorClass::kConfig,
          "CF1840",
          std::string(kComponent),
          fmt::format("{} of the rows were written by somebody else; nothing was repaired", plan.foreign()),
          "",
          fmt::format("{} {}", row.table->route().source.name, verify::ShownKey(*row.table, row.difference.key)),
          verify::ShownWriter(row.difference.writer),
          "find out who writes to the target, and end it; then 'crossfade verify --repair --overwrite-foreign'"
          " brings the rows to what the source holds"};
      return Fail(std::move(error));
    }
  }
  return {};
}

Status Agree(const Config& config, const verify::RepairPlan& plan) {
  std::cerr << fmt::format("This changes {} rows in database {} of {}:{}.\nType the migration's name to go on: ",
                           plan.rows().size(), config.target.database, config.target.host, config.target.port);
  std::string answer;
  std::getline(std::cin, answer);
  if (answer != config.name) {
    Error error{ErrorClass::kConfig,
                "CF1841",
                std::string(kComponent),
                "not agreed to; nothing was repaired",
                "",
                config.name,
                answer,
                "type the migration's name, or use --yes"};
    return Fail(std::move(error));
  }
  return {};
}

class TargetRepair {
 public:
  TargetRepair(const VerifyCommandOptions& options, VerifySession* session) : options_(options), session_(session) {}

  Status Work(const Pipeline::AtRest& rest) {
    PlanningPass pass(session_, rest.journal, options_.console);
    CROSSFADE_TRY(pass.Run(rest.stop));
    verify::RepairPlan& plan = pass.plan();
    if (!options_.json) {
      PrintPlan(pass, plan);
    }
    ended_ = CountsOf(pass, plan);
    Done done;
    if (!plan.rows().empty()) {
      CROSSFADE_TRY(options_.overwrite_foreign ? Status() : RefuseForeign(plan));
      CROSSFADE_TRY(options_.yes ? Status() : Agree(session_->config(), plan));
      CROSSFADE_ASSIGN(done.repaired, Write(rest, &plan));
      CROSSFADE_ASSIGN(done.still_different, pass.StillDifferent(rest.stop));
    }
    Print(pass, plan, done);
    const bool all = done.repaired == plan.rows().size() && plan.beyond() == 0 && done.still_different == 0;
    ended_["repaired"] = done.repaired;
    ended_["still_different"] = done.still_different;
    ended_["result"] = plan.rows().empty() ? "nothing to do" : all ? "repaired" : "rows left";
    exit_code_ = !all ? kDifferent : plan.untold() + pass.undecided() > 0 || pass.more_behind() ? kCouldNotTell : kDone;
    return {};
  }

  int exit_code() const { return exit_code_; }
  // What came of it, for the audit log.
  nlohmann::json End(const Status& done) const {
    nlohmann::json details = ended_;
    if (!done) {
      details["result"] = ResultOf(done.error());
      details["code"] = done.error().code;
    }
    return details;
  }

 private:
  Result<uint64_t> Write(const Pipeline::AtRest& rest, verify::RepairPlan* plan) const {
    CROSSFADE_ASSIGN(const apply::TargetState state, rest.target->ReadState());
    if (state.progress.size() != 1) {
      return MakeError(ErrorClass::kCorrupt, "CF1842", kComponent,
                       "the target has {} rows of progress, one is expected", state.progress.size());
    }
    const apply::Progress& applied = state.progress.front();
    for (const verify::RowRepair& row : plan->rows()) {
      if (row.difference.applied != applied.low) {
        return MakeError(ErrorClass::kCorrupt, "CF1843", kComponent,
                         "seq {} is applied, but rows were compared where seq {} was: somebody else applies",
                         applied.low.value, row.difference.applied.value);
      }
    }
    const Config& config = session_->config();
    CROSSFADE_ASSIGN(const std::unique_ptr<apply::ApplySession> session, rest.target->OpenSession(applied.worker));
    const std::stop_callback cancel(rest.stop, [&] { session->Cancel(); });
    CROSSFADE_TRY(
        Record(config, "repair started", *plan, applied.low, {{"overwrite_foreign", options_.overwrite_foreign}}));
    const Result<uint64_t> repaired = verify::Repair(plan, applied, session.get());
    if (repaired) {
      CROSSFADE_TRY(Record(config, "repair ended", *plan, applied.low, {{"repaired", *repaired}}));
    }
    return repaired;
  }

  void Print(const PlanningPass& pass, const verify::RepairPlan& plan, const Done& done) const {
    if (options_.json) {
      PrintJson(pass, plan, &done);
      return;
    }
    for (const verify::RowRepair& row : plan.rows()) {
      if (!row.left.empty()) {
        std::cout << fmt::format("{} {}: left as it is: {}\n", row.table->route().source.name,
                                 verify::ShownKey(*row.table, row.difference.key), row.left);
      }
    }
    std::cout << fmt::format("repair: repaired={} left={} still_different={}\n", done.repaired,
                             plan.rows().size() - done.repaired, done.still_different);
  }

  const VerifyCommandOptions& options_;
  VerifySession* session_;
  int exit_code_ = kCouldNotTell;
  nlohmann::json ended_ = nlohmann::json::object();
};

}  // namespace

int PlanRepair(const Config& config, const VerifyCommandOptions& options) {
  const SignalStop signals;
  const auto failed = [&](const Error& error) {
    (void)RecordEnd(config, "plan ended", {{"result", "failed"}, {"code", error.code}});
    return Report(error);
  };
  Result<std::unique_ptr<VerifySession>> session = VerifySession::Open(config);
  if (!session) {
    return failed(session.error());
  }
  if (const Status recorded = RecordAction(config, "plan started", {}); !recorded) {
    return Report(recorded.error());
  }
  PlanningPass pass(session->get(), (*session)->journal(), options.console);
  if (const Status ran = pass.Run(signals.token()); !ran) {
    return failed(ran.error());
  }
  nlohmann::json details = CountsOf(pass, pass.plan());
  details["result"] = "planned";
  if (const Status recorded = RecordAction(config, "plan ended", details); !recorded) {
    return Report(recorded.error());
  }
  options.json ? PrintJson(pass, pass.plan(), nullptr) : PrintPlan(pass, pass.plan());
  return pass.outcome().differences() > 0 || !pass.plan().rows().empty() ? kDifferent
         : pass.undecided() > 0                                          ? kCouldNotTell
                                                                         : kDone;
}

int RepairTarget(const Config& config, const VerifyCommandOptions& options) {
  const SignalStop signals;
  Result<std::unique_ptr<VerifySession>> session = VerifySession::Open(config);
  if (!session) {
    (void)RecordEnd(config, "repair command ended", {{"result", "failed"}, {"code", session.error().code}});
    return Report(session.error());
  }
  const nlohmann::json asked = {{"overwrite_foreign", options.overwrite_foreign}, {"yes", options.yes}};
  if (const Status recorded = RecordAction(config, "repair command started", asked); !recorded) {
    return Report(recorded.error());
  }
  StatusBoard board;
  RunOptions run;
  run.config = options.config;
  TargetRepair repair(options, session->get());
  Pipeline pipeline(config, run, &board);
  const Status done =
      pipeline.RunAtRest(signals.token(), [&](const Pipeline::AtRest& rest) { return repair.Work(rest); });
  const int exit_code = done ? repair.exit_code() : Report(done.error());
  const Status recorded = RecordEnd(config, "repair command ended", repair.End(done));
  return recorded || exit_code != kDone ? exit_code : Report(recorded.error());
}

}  // namespace crossfade::tools

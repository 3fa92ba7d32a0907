// Writes steps into an open pipeline: chooses and prepares the statements, makes their parameters.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "apply/postgres/session.h"
#include "apply/postgres/statements.h"
#include "apply/target.h"
#include "core/error.h"
#include "db/postgres/connection.h"

namespace crossfade::apply {

// Belongs to one session. Plan, then Queue with the same steps, which stay as they are until after Queue.
class StepWriter {
 public:
  StepWriter(postgres::Connection* connection, const PgSessionOptions* options, std::string tenant);

  // Another session, in which nothing is prepared yet.
  void Use(postgres::Connection* connection);
  // Outside of a pipeline. Prepares what is missing.
  Status Plan(const std::vector<Step>& steps);
  // Inside of a pipeline. Data CF1411 for a value that the target cannot hold; refused_step() then has it.
  Status Queue(const std::vector<Step>& steps);
  size_t refused_step() const { return refused_step_; }

  // A statement that does not belong to a step; prepared under `name` again and again as need be.
  void Define(const std::string& name, const std::string& sql, std::vector<uint32_t> types);
  Status QueueDefined(const std::string& name, std::span<const postgres::Parameter> parameters);

  // For each statement queued since PipelineStarted: the step it belongs to, or one of these.
  static constexpr size_t kNoStep = SIZE_MAX;
  static constexpr size_t kRoleSwitch = SIZE_MAX - 1;  // takes the target's foreign key actions off, or puts them back
  void PipelineStarted() {
    owners_.clear();
    refused_step_ = kNoStep;
  }
  const std::vector<size_t>& owners() const { return owners_; }

 private:
  enum class Variant : uint8_t {
    kInsert,
    kUpdate,
    kDelete,
    kUpsert,
    kDeleteByAfter,
    kTruncate,
    kUpdateWholeRows,
    kDeleteWholeRows,
  };
  struct Prepared {
    std::string name;
    const TableStatements* table = nullptr;
    RowStatement statement;
  };
  // One statement, or several of one text where the rows are many.
  struct Part {
    size_t step = 0;
    const Prepared* prepared = nullptr;
    std::vector<uint32_t> rows;  // of the step; empty: all
    bool counted = true;         // its rows count as the step's
    bool scans = false;          // reads the whole table, once for each statement
  };

  Result<const TableStatements*> TableOf(const Route* route);
  Result<const Prepared*> Find(const Route* route, Variant variant, std::span<const uint32_t> columns);
  Result<const Prepared*> PrepareTruncate(const Step& step);
  Status AddPart(size_t step, const Route* route, Variant variant, std::span<const uint32_t> columns = {},
                 std::vector<uint32_t> rows = {}, bool counted = true);
  Status PlanStep(const Step& step, size_t index);
  Status PlanUpdates(const Step& step, size_t index);
  Status PlanUpdate(const Step& step, size_t index);
  Status PlanWholeRows(const Step& step, size_t index);
  void ForgetPrepared();
  Status SwitchActions(bool on, size_t next_step);
  Status QueuePart(const Step& step, const Part& part);
  Status QueueArrays(const Step& step, const Part& part);
  Status QueueRow(const Step& step, const Part& part, const RowChange& row);
  tl::unexpected<Error> Refused(const Step& step, const Part& part, const RowChange& row, Error error);
  Status QueueNamed(const std::string& name, std::span<const postgres::Parameter> parameters, size_t owner);

  postgres::Connection* connection_;
  const PgSessionOptions* options_;
  std::string tenant_;
  std::map<const Route*, std::unique_ptr<TableStatements>> tables_;
  std::unordered_map<std::string, std::unique_ptr<Prepared>> prepared_;
  std::vector<std::unique_ptr<Prepared>> once_;  // truncations of ranges
  uint64_t next_name_ = 0;

  struct Definition {
    std::string sql;
    std::vector<uint32_t> types;
    bool prepared = false;
  };
  std::map<std::string, Definition> definitions_;

  std::vector<Part> parts_;
  std::vector<size_t> owners_;
  size_t refused_step_ = kNoStep;
  std::vector<postgres::ArrayBuilder> arrays_;
  std::vector<postgres::Parameter> parameters_;
  std::string scratch_;
  std::string transformed_;  // the value that a transform made last
};

}  // namespace crossfade::apply

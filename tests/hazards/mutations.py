"""Rules of the program, each taken out by a small mistake that a good engineer might make, and the hazard's test that must notice.

An edit's old text must be found exactly once in its file, so that the list stays true to the code: run_mutations.py says so otherwise.
Several edits where one rule alone stands behind another that would catch it.
"""

import collections

MUTANTS = []

Edit = collections.namedtuple("Edit", "file old new")


class Mutant:
    def __init__(self, hazard, rule, test, engine, edits):
        self.hazard, self.rule, self.test, self.engine, self.edits = hazard, rule, test, engine, edits

    def __str__(self):
        return "%s/%s: %s" % (self.hazard, self.engine, self.rule)

    def line(self):
        return "%-4s %-8s %-52s %s" % (self.hazard, self.engine, self.test, self.rule)


def mutant(hazard, rule, test, *edits, engine="mariadb"):
    """`rule` says in one sentence what the mutant does wrong; edits are (file, old text, new text)."""
    MUTANTS.append(Mutant(hazard, rule, test, engine, [Edit(*edit) for edit in edits]))


mutant("H1", "the tables of a copy group are read from a state each", "parent_and_child_come_back_between_chunks",
       ("snapshot/ledger.cc", "      if (!is_new) {", "      if (!is_new && units[unit->second].pieces.back().table == piece.table) {"))
mutant("H1", "after a crash what is in of a copy group stays, and the rest is read from another state", "copy_group_is_read_again_after_a_crash",
       ("snapshot/ledger.cc", "  return complete || first == nullptr || (state && *first == *state);",
        "  return complete || first == nullptr || !state || *first == *state;"))

mutant("H2", "the readers' snapshots are opened before the lock is taken", "readers_see_one_state",
       ("snapshot/mysql/mysql_snapshot.cc", "  CROSSFADE_ASSIGN(SnapshotLock lock, SnapshotLock::Take(options_));",
        "  CROSSFADE_TRY(StartAll(readers));\n  CROSSFADE_ASSIGN(SnapshotLock lock, SnapshotLock::Take(options_));"),
       ("snapshot/mysql/mysql_snapshot.cc",
        "  CROSSFADE_TRY(StartAll(readers));\n  CROSSFADE_ASSIGN(Position position, mysql::ReadHead(lock.connection()));",
        "  CROSSFADE_ASSIGN(Position position, mysql::ReadHead(lock.connection()));"), engine="mysql")
mutant("H2", "the readers' snapshots are opened when the lock is given back", "readers_see_one_state",
       ("snapshot/mysql/mysql_snapshot.cc",
        "  CROSSFADE_TRY(StartAll(readers));\n  CROSSFADE_ASSIGN(Position position, mysql::ReadHead(lock.connection()));",
        "  CROSSFADE_ASSIGN(Position position, mysql::ReadHead(lock.connection()));"),
       ("snapshot/mysql/mysql_snapshot.cc", "  CROSSFADE_ASSIGN(const LockReport report, lock.Release());",
        # A network's delay, so that the outcome is no chance.
        "  CROSSFADE_ASSIGN(const LockReport report, lock.Release());\n  std::this_thread::sleep_for(std::chrono::milliseconds(50));\n"
        "  CROSSFADE_TRY(StartAll(readers));"), engine="mysql")

mutant("H3", "keys are built before the windows are passed", "unique_value_moves_between_chunks",
       ("tools/crossfade/follow_stage.cc", "    if (AreOnePosition(state.chunks)) {", "    if (AreOnePosition(state.chunks) || windows.MaxHigh() >= AppliedBy(state)) {"))
mutant("H3", "foreign keys without an action are built before the windows are passed", "child_and_parent_are_born_between_chunks",
       ("apply/postgres/schema_build.cc", "        return MakeForeignKeys(table, true);", "        return MakeForeignKeys(table, false);"))
mutant("H3", "a row that moves to another chunk is judged by the chunk that it leaves", "unique_value_moves_between_chunks",
       ("apply/batch_builder.cc", "Judge(*change.table, change.after, change.seq));", "Judge(*change.table, change.before, change.seq));"))

mutant("H4", "a snapshot's position is the log's head", "commit_is_in_the_log_and_not_yet_visible",
       ("snapshot/mysql/mysql_reader.cc", "  CROSSFADE_ASSIGN(Position position, SnapshotPlace());",
        "  CROSSFADE_ASSIGN(Position position, mysql::ReadHead(*connection_));"))

mutant("H6", "readers see what is written before it is synced", "what_is_not_synced_is_not_applied",
       ("state/journal_writer.cc", "  CROSSFADE_FAILPOINT(\"journal.sync.before\");\n", "  journal_->Publish(tail_);\n  CROSSFADE_FAILPOINT(\"journal.sync.before\");\n"))
mutant("H6", "the journal is freed of what the target has acknowledged and may forget", "target_forgets_what_it_acknowledged",
       ("apply/postgres/session.cc", "    result.durable = durable_;", "    result.durable = true;"))

mutant("H7", "rows are loaded with the foreign keys that stand", "second_tenant_comes_to_tables_that_stand",
       ("apply/postgres/chunk_loader.cc", "  CROSSFADE_TRY(SwitchOffForeignKeys(connection_.get(), route_->schema, route_->table));\n", ""))
mutant("H7", "a chunked copy goes into the shared tables at once", "second_tenant_comes_chunked",
       ("tools/crossfade/copy_stage.cc", '  if (HasFact("staged") || (keys_stand && !readers)) {', '  if (HasFact("staged")) {'))
mutant("H7", "that the staged rows have moved is noted after they have", "staged_rows_move_once",
       ("apply/postgres/staging.cc",
        "  statements.push_back(\n      fmt::format(\"UPDATE crossfade.migration SET facts = facts || 'moved'::text WHERE name = {}\", migration));\n", ""),
       ("apply/postgres/staging.cc", "  Status done = connection->Transact(options.fence, statements);",
        "  Status done = connection->Transact(options.fence, statements);\n  if (done) {\n    done = connection->Transact(options.fence, {fmt::format("
        "\"UPDATE crossfade.migration SET facts = facts || 'moved'::text WHERE name = {}\", migration)});\n  }"))

mutant("H7", "whether the lock of all schema changes was had is not looked at", "migrations_begin_at_once",
       ("apply/postgres/control.cc", '    if (locked == "t") {', "    if (locked) {"))

mutant("H8", "ON DELETE SET NULL has no list of columns, and so sets the tenant column too", "set_null_beside_a_tenant_column",
       ("apply/postgres/schema_plan.cc", "    if (route.tenant_column && key.on_delete == ReferenceAction::kSetNull) {",
        "    if (!route.tenant_column && key.on_delete == ReferenceAction::kSetNull) {"))
mutant("H8", "a foreign key stands that was never validated", "foreign_keys_that_cannot_stand",
       ("apply/postgres/schema_build.cc", "  if (validate) {", "  if (validate && !add) {"))

mutant("H9", "rows written without checks are applied with the target's actions", "rows_written_without_foreign_key_checks",
       ("apply/fold.cc", "  if ((change.flags & (kNoForeignKeyChecks | kCascaded)) != kNoForeignKeyChecks) {\n    return false;",
        "  if ((change.flags & kCascaded) == 0) {\n    return false;"))
mutant("H9", "a TRUNCATE cascades", "rows_written_without_foreign_key_checks",
       ("apply/fold.cc", "  if (change.kind == ChangeKind::kTruncate) {\n    return route.referenced;", "  if (change.kind == ChangeKind::kTruncate) {\n    return false;"))
mutant("H9", "a TRUNCATE takes rows that were copied behind it", "truncate_while_it_is_copied",
       ("apply/window.cc", "    if (chunk.low < seq) {\n      ranges", "    if (chunk.high.value != 0 || chunk.low < seq) {\n      ranges"))

mutant("H10", "rows that a cascade changed must be as the log says behind their parent's change", "cascades_that_are_in_the_log",
       ("apply/fold.cc", "    change.lenient = true;\n", ""),
       ("apply/fold.cc", "  const bool lenient = change.lenient || (change.flags & kCascaded) != 0;", "  const bool lenient = change.lenient;"), engine="mysql")

mutant("H12", "a delete that cascades is folded like any other", "cascades_and_changes_of_what_they_reach",
       ("apply/fold.cc", "    return route.delete_acts;", "    return false;"))
mutant("H12", "a key change that cascades is folded like any other", "cascades_and_changes_of_what_they_reach",
       ("apply/fold.cc", "  return !SameKey(change, values) || !SameReferences(change, values);",
        "  return change.lenient && !SameKey(change, values);"))

mutant("H13", "unique values may be handed over within one statement, and a batch that is refused is not applied row by row",
       "unique_values_change_hands_in_one_batch",
       ("apply/fold.cc", "        (row_was_deleted && HasValue(columns, before) && taken_.Contains(HashUnique(columns, before, seed)))) {\n      return false;",
        "        (row_was_deleted && HasValue(columns, before) && taken_.Contains(HashUnique(columns, before, seed)))) {\n      return true;"),
       ("apply/applier.cc", "  return ApplyExact(0, count);",
        "  return result.error ? Status(Fail(*result.error)) : ApplyExact(0, count);"))
mutant("H13", "keys whose equality the target does not have are no reason to refuse", "keys_that_ignore_case_are_a_finding",
       ("apply/postgres/schema_plan.cc", "    Find(true, \"CF1530\"", "    Find(false, \"CF1530\""))

mutant("H14", "a journal made anew numbers from the beginning", "state_directory_is_lost",
       ("tools/crossfade/rebuild.cc", "  return journal_->Initialize(start, before_first);", "  return journal_->Initialize(start, Seq{0});"))
mutant("H14", "the target is bound to the new journal before that holds the log", "rebuilding_is_refused",
       ("tools/crossfade/rebuild.cc", "  CROSSFADE_TRY(WaitCaptured({rebuilding->until}));\n", ""))

mutant("H15", "a chunk's mark is committed before its rows", "chunks_are_not_doubled_by_a_crash",
       ("apply/postgres/chunk_loader.cc", "  CROSSFADE_ASSIGN(const bool was_there, WriteMark(mark));",
        "  CROSSFADE_ASSIGN(const bool was_there, WriteMark(mark));\n  CROSSFADE_TRY(connection_->Execute(\"COMMIT; BEGIN\"));"))
mutant("H15", "marks on the target are not asked, and a chunk that is read again does not replace its range", "chunks_are_not_doubled_by_a_crash",
       ("snapshot/ledger.cc", "      if (mark == nullptr) {\n        ledger.missing", "      if (mark == nullptr || !clear.contains(table)) {\n        ledger.missing"),
       ("apply/postgres/chunk_loader.cc", "  if (replace || was_there) {", "  if (replace && was_there) {"))

mutant("H16", "a table without a key may have a window", "table_without_key_changes_while_it_is_copied",
       ("snapshot/ledger.cc", "    units.push_back({{piece}, table.needs_exact_state()});", "    units.push_back({{piece}, table.group.has_value()});"), engine="mysql")

mutant("H18", "the start is chosen while transactions are prepared", "prepared_before_the_start",
       ("tools/crossfade/pipeline.cc", "    return locked->prepared == 0 ? std::optional(locked->position) : std::nullopt;", "    return std::optional(locked->position);"),
       ("tools/crossfade/pipeline.cc", "    CROSSFADE_TRY(WaitForPrepared());\n    CROSSFADE_ASSIGN(position", "    CROSSFADE_ASSIGN(position"))
mutant("H18", "prepared rows count when they are prepared", "prepared_across_a_crash",
       ("tools/crossfade/capture_loop.cc", "      return writer.Prepare(end.xid, end.position);", "      return writer.Commit(commit);"),
       ("tools/crossfade/capture_loop.cc", "      return writer.CommitPrepared(end.xid, commit);", "      return writer.Advance(end.position);"))
mutant("H18", "prepared rows are forgotten when the journal is opened again, and the commit of what is not known is passed over", "prepared_across_a_crash",
       ("state/journal_open.cc", "    if (place->second == kCommitPart) {\n      parts.clear();\n    } else {\n      parts.emplace_back(cursor->key());\n    }",
        "    parts.emplace_back(cursor->key());"),
       ("state/journal_writer.cc", "  if (!value) {\n    return MakeError(ErrorClass::kCorrupt, \"CF1303\", kJournalComponent,\n                     \"XA transaction {} is committed",
        "  if (!value) {\n    MoveTail(commit.position);\n    return {};\n    return MakeError(ErrorClass::kCorrupt, \"CF1303\", kJournalComponent,\n                     \"XA transaction {} is committed"))

mutant("H19", "a schema change is passed over", "columns_change_places",
       ("tools/crossfade/capture_loop.cc", "  if (!concerns_us_(ddl.table) && other == ddl.also.end()) {", "  if (!ddl.table.empty()) {"))

mutant("H20", "apply does not compare the epoch", "stopped_process_comes_back_after_it_was_replaced",
       ("apply/postgres/session.cc", "FROM crossfade.migration WHERE name = $1 AND epoch = $2 FOR SHARE) AS m\"", "FROM crossfade.migration WHERE name = $1 FOR SHARE) AS m\""))
mutant("H20", "progress is read without its row's lock", "commits_are_cut",
       ("apply/postgres/control.cc", "ReadProgress(connection, fence.migration, lock)", "ReadProgress(connection, fence.migration, *lock == 'F' ? \"\" : lock)"))

mutant("H22", "only GTIDs are compared, neither the place in the log nor when its file was begun", "source_used_a_position_again",
       ("capture/mysql/mysql_source.cc", "    CROSSFADE_TRY(CheckPlace(server, from));\n",
        "    if (from.last.empty()) {\n      CROSSFADE_TRY(CheckPlace(server, from));\n    }\n"),
       ("capture/mysql/mysql_source.cc", "  CROSSFADE_TRY(CheckMarks(from));\n", ""))
mutant("H22", "a server is followed that lacks what was applied", "promoted_replica_lacks_what_was_applied",
       ("capture/mysql/mysql_source.cc", "    return Lost(from, missing.ToString());", "    return {};"), engine="mysql")

mutant("H22", "the copy's places are compared with any later log of that name", "a_server_built_anew_takes_its_old_place",
       ("tools/crossfade/follow_stage.cc", "  if (HasFact(kWindowsPassedFact)) {", "  if (HasFact(kWindowsPassedFact) && false) {"))
mutant("H22", "a server that is another one under an old name is followed within the windows", "a_server_built_anew_comes_within_the_windows",
       ("capture/mysql/mysql_source.cc", "  if (checked && options_.places_count) {", "  if (checked && options_.places_count && false) {"))

mutant("H24", "parts of a transaction without its end are left behind the journal's tail", "half_of_a_transaction_that_the_source_forgot",
       ("state/journal_open.cc", "  CROSSFADE_TRY(DropUncommitted());\n", ""))
mutant("H24", "the journal is never freed", "journal_is_freed_of_what_is_applied",
       ("apply/applier.cc", "  return journal_->Trim();", "  return {};"))
mutant("H24", "a full journal is waited for during the copy, when nothing drains it", "journal_is_full_while_it_is_copied",
       ("tools/crossfade/capture_loop.cc", "    if (fail_over_budget_()) {", "    if (said && fail_over_budget_() && has_unsynced_) {"))

mutant("verify", "a key that was handed on is followed only by looking rows up", "a_key_handed_on_hides_a_grandchild_that_cannot_be_found",
       ("verify/touched.cc", "      handed_on_.clear();\n      TakeHandedOn(key, touched);\n", ""))
mutant("verify", "rows that moved during a pass are not looked at again", "a_row_that_moves_behind_the_place_that_is_read",
       ("verify/verifier.cc", "  CROSSFADE_TRY(WithRetry([&](const Sides& sides) { return CheckMoved(sides, stop); }, &last, stop));\n", ""))

mutant("verify", "what a pass finds beside a run is not kept before the piece is noted as done", "a_full_pass_beside_the_run_goes_on_after_a_kill",
       ("tools/crossfade/continuous_verify.cc", "    return news ? Store() : Status{};", "    return news && false ? Store() : Status{};"),
       ("tools/crossfade/continuous_verify.cc", "      if (table != nullptr && found.differences()", "      if (false && table != nullptr && found.differences()"))
mutant("verify", "a pass that goes on takes all tables from the list of those that wait", "what_waits_for_a_pass_is_not_forgotten_by_one_that_goes_on",
       ("verify/continuous.cc", "  if (pass.resumed) {", "  if (pass.resumed && false) {"))

mutant("verify", "behind a process that died all that is not known to be ours is somebody else's", "a_foreign_writer_is_recognised_and_nobody_else_accused",
       ("verify/own_transactions.cc", "  gap_ = !head.ended || last_on_target != head.last;", "  gap_ = false && last_on_target != head.last;"))

mutant("repair", "a parent goes although rows refer to it", "a_repaired_parent_leaves_no_orphan_under_a_valid_key",
       ("verify/repair.cc", "    CROSSFADE_ASSIGN(const bool no_orphans, LeaveOrphans());", "    const bool no_orphans = true;"))
mutant("repair", "children come into the plan before their parents", "a_repair_of_much_damage_makes_progress_each_time",
       ("verify/repair_plan.cc", "    return {1, route.rank};", "    return {1, ~route.rank};"))
mutant("repair", "a key loses its NULs", "a_key_that_would_lose_a_nul_is_refused",
       ("db/postgres/type_map.h", "  if (in_key && policy", "  if (false && in_key && policy"))

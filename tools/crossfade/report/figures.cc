#include "tools/crossfade/report/figures.h"

#include <algorithm>
#include <cmath>

namespace crossfade::tools {

namespace {

bool IsEnd(Phase phase) { return phase == Phase::kStopped || phase == Phase::kFailed; }

// The last sign of life in [from, to).
int64_t LastSeen(const History& history, int64_t from, int64_t to) {
  int64_t seen = from;
  for (const HistorySample& sample : history.samples) {
    if (sample.at_us >= from && sample.at_us < to) {
      seen = std::max(seen, sample.at_us);
    }
  }
  return seen;
}

void TakeMarks(const std::vector<apply::CopiedTable>& copied, CopyFigures* figures) {
  uint64_t rows = 0;
  int64_t first = INT64_MAX;
  int64_t last = 0;
  for (const apply::CopiedTable& table : copied) {
    rows += table.rows;
    first = table.first_us > 0 ? std::min(first, table.first_us) : first;
    last = std::max(last, table.last_us);
  }
  figures->rows = rows;
  if (figures->began_us == 0 && last > 0) {
    figures->began_us = first;
    figures->ended_us = last;
    figures->seconds_us = last - first;
  }
}

}  // namespace

std::vector<PhaseSpan> PhaseSpans(const History& history, bool alive, int64_t now_us) {
  std::vector<PhaseSpan> spans;
  for (size_t i = 0; i < history.phases.size(); ++i) {
    const HistoryPhase& phase = history.phases[i];
    PhaseSpan span;
    span.from_us = phase.at_us;
    span.phase = phase.phase;
    span.pid = phase.pid;
    span.version = phase.version;
    span.code = phase.code;
    const bool last = i + 1 == history.phases.size();
    const int64_t next = last ? now_us : history.phases[i + 1].at_us;
    span.lasting = last && (alive || IsEnd(phase.phase));
    span.cut = !IsEnd(phase.phase) && (last ? !alive : history.phases[i + 1].phase == Phase::kStarting);
    span.to_us = span.cut ? LastSeen(history, phase.at_us, next) : std::max(next, phase.at_us);
    spans.push_back(std::move(span));
  }
  return spans;
}

int64_t Percentile(std::vector<int64_t>* values, double part) {
  if (values->empty()) {
    return -1;
  }
  std::sort(values->begin(), values->end());
  const auto rank = static_cast<size_t>(std::ceil(part * static_cast<double>(values->size())));
  return (*values)[std::clamp<size_t>(rank, 1, values->size()) - 1];
}

LagFigures LagOf(const History& history, HistorySample::Lag HistorySample::*hop, bool only_following) {
  LagFigures figures;
  std::vector<int64_t> looks;
  for (const HistorySample& sample : history.samples) {
    const bool applies = sample.phase == Phase::kFollowing || (sample.phase == Phase::kCatchingUp && !only_following);
    if (applies && (sample.*hop).look_ms >= 0) {
      looks.push_back((sample.*hop).look_ms);
      figures.max_ms = std::max(figures.max_ms, (sample.*hop).max_ms);
    }
  }
  figures.p50_ms = Percentile(&looks, 0.50);
  figures.p99_ms = Percentile(&looks, 0.99);
  return figures;
}

CopyFigures CopyOf(const std::vector<PhaseSpan>& phases, const std::vector<apply::CopiedTable>* copied,
                   const History& history) {
  CopyFigures figures;
  for (const PhaseSpan& span : phases) {
    if (span.phase == Phase::kCopying) {
      figures.began_us = figures.began_us == 0 ? span.from_us : figures.began_us;
      figures.ended_us = span.lasting || span.cut ? 0 : span.to_us;
      figures.seconds_us += span.to_us - span.from_us;
    }
  }
  uint64_t most = 0;
  for (const HistorySample& sample : history.samples) {
    most = std::max(most, sample.rows_copied);
  }
  if (most > 0) {
    figures.rows = most;
  }
  if (copied != nullptr) {
    TakeMarks(*copied, &figures);
  }
  if (figures.seconds_us > 0 && figures.rows) {
    figures.rows_per_second = static_cast<double>(*figures.rows) / (static_cast<double>(figures.seconds_us) / 1e6);
  }
  return figures;
}

std::optional<uint64_t> AppliedSince(const History& history, int64_t since_us, uint64_t applied_seq) {
  const HistorySample* before = nullptr;
  for (const HistorySample& sample : history.samples) {
    if (sample.at_us <= since_us && sample.applied_seq > 0) {
      before = &sample;
    }
  }
  if (before == nullptr || before->applied_seq > applied_seq) {
    return std::nullopt;
  }
  return applied_seq - before->applied_seq;
}

}  // namespace crossfade::tools

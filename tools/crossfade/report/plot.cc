#include "tools/crossfade/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "tools/crossfade/report/report_text.h"

namespace crossfade::tools {

namespace {

constexpr double kWidth = 720;
constexpr double kLeft = 62;
constexpr double kRight = 708;
constexpr double kTop = 8;
constexpr double kBottom = 190;
constexpr double kStripTop = 194;
constexpr double kStripBottom = 202;
constexpr double kHeight = 224;
constexpr int kColumns = 320;
constexpr int64_t kSecond = 1'000'000;

struct Style {
  const char* color;
  const char* dashes;
  double width;
};
constexpr Style kStyles[] = {{"#1b4f8a", "", 1.7}, {"#b4490f", "6 3", 1.3}, {"#2b7a3d", "1.5 2.5", 1.5}};

struct Tick {
  double at = 0;  // in units of the picture
  std::string label;
};

// Where values and times are in the picture.
struct Frame {
  PlotScale scale = PlotScale::kMilliseconds;
  double top_value = 1;
  int64_t from_us = 0;
  int64_t to_us = 1;

  double X(int64_t at_us) const {
    const double part = static_cast<double>(at_us - from_us) / static_cast<double>(to_us - from_us);
    return kLeft + std::clamp(part, 0.0, 1.0) * (kRight - kLeft);
  }
  double Y(double value) const {
    const double part = scale == PlotScale::kMilliseconds ? std::log10(std::max(1.0, value)) / std::log10(top_value)
                                                          : value / top_value;
    return kBottom - std::clamp(part, 0.0, 1.0) * (kBottom - kTop);
  }
};

struct LogTick {
  double ms;
  const char* label;
};
constexpr LogTick kLogTicks[] = {{1, "1 ms"},      {10, "10 ms"},       {100, "100 ms"},       {1000, "1 s"},
                                 {10'000, "10 s"}, {60'000, "1 min"},   {600'000, "10 min"},   {3'600'000, "1 h"},
                                 {36e6, "10 h"},   {86.4e6 * 4, "4 d"}, {86.4e6 * 40, "40 d"}, {86.4e6 * 400, "400 d"}};

double NiceCeiling(double value) {
  const double power = std::pow(10, std::floor(std::log10(std::max(value, 1.0))));
  for (const double step : {1.0, 2.0, 4.0, 5.0, 10.0}) {
    if (step * power >= value) {
      return step * power;
    }
  }
  return 10 * power;
}

double LargestOf(const Plot& plot) {
  double largest = 0;
  for (const PlotLine& line : plot.lines) {
    for (const PlotPoint& point : line.points) {
      largest = std::max({largest, point.value, line.band ? point.max : 0});
    }
  }
  return largest;
}

Frame FrameOf(const Plot& plot) {
  Frame frame;
  frame.scale = plot.scale;
  frame.from_us = plot.from_us;
  frame.to_us = std::max(plot.to_us, plot.from_us + kSecond);
  const double largest = LargestOf(plot);
  if (plot.scale == PlotScale::kPerSecond) {
    frame.top_value = NiceCeiling(largest);
    return frame;
  }
  frame.top_value = std::rbegin(kLogTicks)->ms;
  for (auto tick = std::rbegin(kLogTicks); tick != std::rend(kLogTicks); ++tick) {
    frame.top_value = tick->ms >= std::max(largest, 100.0) ? tick->ms : frame.top_value;
  }
  return frame;
}

std::vector<Tick> ValueTicks(const Frame& frame) {
  std::vector<Tick> ticks;
  if (frame.scale == PlotScale::kMilliseconds) {
    for (const LogTick& tick : kLogTicks) {
      if (tick.ms <= frame.top_value) {
        ticks.push_back({frame.Y(tick.ms), tick.label});
      }
    }
    return ticks;
  }
  for (int i = 0; i <= 4; ++i) {
    const double value = frame.top_value * i / 4;
    ticks.push_back({frame.Y(value), value < 10 && frame.top_value < 10 ? fmt::format("{:.2g}", value)
                                                                        : NumberText(static_cast<uint64_t>(value))});
  }
  return ticks;
}

std::vector<Tick> TimeTicks(const Frame& frame) {
  constexpr int64_t kMinute = 60;
  constexpr int64_t kHour = 3600;
  constexpr int64_t kDay = 86'400;
  constexpr int64_t kSteps[] = {1,           2,    5,        10,       15,        30,        kMinute,   2 * kMinute,
                                5 * kMinute, 600,  900,      1800,     kHour,     2 * kHour, 3 * kHour, 6 * kHour,
                                12 * kHour,  kDay, 2 * kDay, 7 * kDay, 14 * kDay, 30 * kDay, 90 * kDay, 365 * kDay};
  const int64_t span = (frame.to_us - frame.from_us) / kSecond;
  const auto* step = std::find_if(std::begin(kSteps), std::end(kSteps) - 1, [&](int64_t s) { return span / s <= 7; });
  std::vector<Tick> ticks;
  for (int64_t at = (frame.from_us / kSecond / *step + 1) * *step; at * kSecond <= frame.to_us; at += *step) {
    const std::string text = TimeText(at * kSecond);  // 2026-11-23 02:35:25 UTC
    const std::string label = *step >= kDay      ? text.substr(5, 5)
                              : at % kDay == 0   ? text.substr(5, 5)
                              : *step >= kMinute ? text.substr(11, 5)
                                                 : text.substr(11, 8);
    ticks.push_back({frame.X(at * kSecond), label});
  }
  return ticks;
}

const char* PhaseColor(Phase phase) {
  constexpr const char* kColors[] = {"#c9c9c9", "#e0b252", "#b58bc9", "#7fb2d9", "#5fae72", "#f2f2f2", "#c0392b"};
  return kColors[static_cast<size_t>(phase)];
}

std::string DrawAxes(const Frame& frame) {
  std::string out;
  for (const Tick& tick : ValueTicks(frame)) {
    out += fmt::format(R"(<path d="M{0} {1:.1f}H{2}" stroke="#ddd" stroke-width="0.7"/>)"
                       R"(<text x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>)",
                       kLeft, tick.at, kRight, kLeft - 6, tick.at + 3.5, tick.label);
  }
  for (const Tick& tick : TimeTicks(frame)) {
    out +=
        fmt::format(R"(<path d="M{0:.1f} {1}V{2}" stroke="#e8e8e8" stroke-width="0.7"/>)", tick.at, kTop, kStripBottom);
    if (tick.at > kLeft + 14 && tick.at < kRight - 14) {
      out += fmt::format(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", tick.at, kHeight - 8, tick.label);
    }
  }
  return out;
}

std::string DrawPhases(const Plot& plot, const Frame& frame) {
  std::string out;
  for (const PhaseSpan& span : plot.phases) {
    if (span.to_us < frame.from_us || span.from_us > frame.to_us) {
      continue;
    }
    const double from = frame.X(span.from_us);
    const double width = std::max(0.4, frame.X(span.to_us) - from);
    out += fmt::format(R"(<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" fill="{}"><title>{}</title></rect>)", from,
                       kStripTop, width, kStripBottom - kStripTop, PhaseColor(span.phase), PhaseName(span.phase));
  }
  return out;
}

// One point for each column of the picture that has any.
std::vector<PlotPoint> InColumns(const std::vector<PlotPoint>& points, const Frame& frame) {
  std::map<int64_t, std::vector<PlotPoint>> columns;
  const int64_t width = std::max<int64_t>(1, (frame.to_us - frame.from_us) / kColumns);
  for (const PlotPoint& point : points) {
    columns[(point.at_us - frame.from_us) / width].push_back(point);
  }
  std::vector<PlotPoint> out;
  for (auto& [column, inside] : columns) {
    PlotPoint one;
    one.at_us = inside[inside.size() / 2].at_us;
    for (const PlotPoint& point : inside) {
      one.max = std::max(one.max, point.max);
    }
    const auto middle = inside.begin() + static_cast<ptrdiff_t>(inside.size() / 2);
    std::nth_element(inside.begin(), middle, inside.end(),
                     [](const PlotPoint& a, const PlotPoint& b) { return a.value < b.value; });
    one.value = middle->value;
    out.push_back(one);
  }
  return out;
}

std::string DrawStretch(const std::vector<PlotPoint>& points, const PlotLine& line, const Style& style,
                        const Frame& frame) {
  std::string out;
  const double last_x = frame.X(points.back().at_us);
  if (last_x - frame.X(points.front().at_us) < 1) {
    return fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="2" fill="{}"/>)", last_x, frame.Y(points.back().value),
                       style.color);
  }
  std::string path;
  std::string band;
  for (const PlotPoint& point : points) {
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", frame.X(point.at_us), frame.Y(point.value));
    band += fmt::format("{}{:.1f} {:.1f}", band.empty() ? "M" : "L", frame.X(point.at_us),
                        frame.Y(std::max(point.value, point.max)));
  }
  if (line.band) {
    for (auto point = points.rbegin(); point != points.rend(); ++point) {
      band += fmt::format("L{:.1f} {:.1f}", frame.X(point->at_us), frame.Y(point->value));
    }
    out += fmt::format(R"(<path d="{}Z" fill="{}" fill-opacity="0.18"/>)", band, style.color);
  }
  out += fmt::format(R"(<path d="{}" fill="none" stroke="{}" stroke-width="{}" stroke-linejoin="round"{}/>)", path,
                     style.color, style.width,
                     *style.dashes == '\0' ? "" : fmt::format(R"( stroke-dasharray="{}")", style.dashes));
  return out;
}

std::string DrawLine(const Plot& plot, const PlotLine& line, const Style& style, const Frame& frame) {
  const std::vector<PlotPoint> points = InColumns(line.points, frame);
  const int64_t apart = std::max(plot.gap_us, 3 * (frame.to_us - frame.from_us) / kColumns);
  std::string out;
  std::vector<PlotPoint> stretch;
  for (const PlotPoint& point : points) {
    if (!stretch.empty() && point.at_us - stretch.back().at_us > apart) {
      out += DrawStretch(stretch, line, style, frame);
      stretch.clear();
    }
    stretch.push_back(point);
  }
  return stretch.empty() ? out : out + DrawStretch(stretch, line, style, frame);
}

std::string DrawLegend(const Plot& plot) {
  std::string out = R"(<p class="legend">)";
  for (size_t i = 0; i < plot.lines.size() && i < std::size(kStyles); ++i) {
    const Style& style = kStyles[i];
    out += fmt::format(R"(<span><svg width="26" height="8" aria-hidden="true"><path d="M0 4H26" stroke="{}" )"
                       R"(stroke-width="{}"{}/></svg> {}</span>)",
                       style.color, style.width + 0.3,
                       *style.dashes == '\0' ? "" : fmt::format(R"( stroke-dasharray="{}")", style.dashes),
                       Escaped(plot.lines[i].name));
  }
  std::vector<Phase> shown;
  for (const PhaseSpan& span : plot.phases) {
    if (std::find(shown.begin(), shown.end(), span.phase) == shown.end() && span.to_us >= plot.from_us &&
        span.from_us <= plot.to_us) {
      shown.push_back(span.phase);
      out += fmt::format(R"(<span><svg width="9" height="9" aria-hidden="true"><rect width="9" height="9" fill="{}" )"
                         R"(stroke="#bbb" stroke-width="0.5"/></svg> {}</span>)",
                         PhaseColor(span.phase), PhaseName(span.phase));
    }
  }
  return out + "</p>";
}

// What grows from sample to sample, a second; within one process.
std::vector<PlotPoint> RatesOf(const History& history, uint64_t HistorySample::*count) {
  std::vector<PlotPoint> points;
  for (size_t i = 1; i < history.samples.size(); ++i) {
    const HistorySample& before = history.samples[i - 1];
    const HistorySample& now = history.samples[i];
    const int64_t took = now.at_us - before.at_us;
    if (took > 0 && took < 4 * history.step_us && now.*count >= before.*count) {
      points.push_back(
          {now.at_us, static_cast<double>(now.*count - before.*count) * 1e6 / static_cast<double>(took), 0});
    }
  }
  return points;
}

Plot RatePlot(const History& history, const std::vector<PhaseSpan>& phases, std::vector<PlotPoint> points,
              const std::string& title, const std::string& name) {
  Plot plot;
  plot.title = title;
  plot.scale = PlotScale::kPerSecond;
  plot.phases = phases;
  plot.gap_us = 4 * history.step_us;
  if (!points.empty()) {
    plot.from_us = points.front().at_us;
    plot.to_us = points.back().at_us;
    plot.lines.push_back({name, std::move(points), false});
  }
  return plot;
}

}  // namespace

std::string DrawPlot(const Plot& plot) {
  if (std::all_of(plot.lines.begin(), plot.lines.end(), [](const PlotLine& line) { return line.points.empty(); })) {
    return "";
  }
  const Frame frame = FrameOf(plot);
  std::string out =
      fmt::format(R"(<figure><svg viewBox="0 0 {} {}" role="img" font-size="10" fill="#444"><title>{}</title>)", kWidth,
                  kHeight, Escaped(plot.title));
  out += DrawAxes(frame) + DrawPhases(plot, frame);
  for (size_t i = std::min(plot.lines.size(), std::size(kStyles)); i-- > 0;) {
    out += DrawLine(plot, plot.lines[i], kStyles[i], frame);
  }
  out += fmt::format(R"(<path d="M{0} {1}V{2}H{3}" fill="none" stroke="#666" stroke-width="0.8"/></svg>)", kLeft, kTop,
                     kBottom, kRight);
  return out + fmt::format("<figcaption>{}<p class=\"note\">{} to {}</p></figcaption></figure>", DrawLegend(plot),
                           TimeText(plot.from_us), TimeText(plot.to_us));
}

Plot LagPlot(const History& history, const std::vector<PhaseSpan>& phases) {
  Plot plot;
  plot.title = "Lag over time";
  plot.phases = phases;
  plot.gap_us = 4 * history.step_us;
  plot.lines = {{"source commit to applied (band: largest)", {}, true},
                {"source commit to journal", {}, false},
                {"journal to target", {}, false}};
  HistorySample::Lag HistorySample::*const hops[] = {&HistorySample::total, &HistorySample::capture,
                                                     &HistorySample::apply};
  for (const HistorySample& sample : history.samples) {
    for (size_t i = 0; i < std::size(hops); ++i) {
      const HistorySample::Lag& lag = sample.*hops[i];
      if (lag.look_ms >= 0) {
        plot.lines[i].points.push_back(
            {sample.at_us, static_cast<double>(lag.look_ms), static_cast<double>(lag.max_ms)});
      }
    }
  }
  if (!history.samples.empty()) {
    plot.from_us = history.samples.front().at_us;
    plot.to_us = history.samples.back().at_us;
  }
  return plot;
}

Plot AppliedPlot(const History& history, const std::vector<PhaseSpan>& phases) {
  std::vector<PlotPoint> points = RatesOf(history, &HistorySample::applied_seq);
  std::erase_if(points, [&](const PlotPoint& point) {
    return std::none_of(phases.begin(), phases.end(), [&](const PhaseSpan& span) {
      return span.from_us <= point.at_us && point.at_us <= span.to_us &&
             (span.phase == Phase::kCatchingUp || span.phase == Phase::kFollowing);
    });
  });
  return RatePlot(history, phases, std::move(points), "Transactions applied a second", "transactions applied a second");
}

Plot CopyPlot(const History& history, const std::vector<PhaseSpan>& phases) {
  std::vector<PlotPoint> points = RatesOf(history, &HistorySample::rows_copied);
  std::erase_if(points, [&](const PlotPoint& point) {
    return std::none_of(phases.begin(), phases.end(), [&](const PhaseSpan& span) {
      return span.phase == Phase::kCopying && span.from_us <= point.at_us && point.at_us <= span.to_us;
    });
  });
  return RatePlot(history, phases, std::move(points), "Rows copied a second", "rows copied a second");
}

}  // namespace crossfade::tools

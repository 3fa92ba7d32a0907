// Plots over time, as inline SVG: no script, nothing from elsewhere, readable in black and white.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/crossfade/report/report_data.h"

namespace crossfade::tools {

struct PlotPoint {
  int64_t at_us = 0;
  double value = 0;
  double max = 0;  // of the time since the point before; shown as a band above the line
};

struct PlotLine {
  std::string name;
  std::vector<PlotPoint> points;  // by time
  bool band = false;
};

enum class PlotScale : uint8_t {
  kMilliseconds,  // logarithmic, from 1 ms
  kPerSecond,     // linear, from 0
};

struct Plot {
  std::string title;  // for who cannot see it
  PlotScale scale = PlotScale::kMilliseconds;
  std::vector<PlotLine> lines;    // at most three, drawn solid, dashed and dotted; the first is in front
  std::vector<PhaseSpan> phases;  // drawn as a strip below
  int64_t from_us = 0;
  int64_t to_us = 0;
  int64_t gap_us = 0;  // points further apart are not joined
};

// However many points there are, the picture stays small: points of one column of it become one, with the median of
// their values and the largest of their maxima. Empty when there is no point at all.
std::string DrawPlot(const Plot& plot);

// Lag over the whole history: in total and by hop.
Plot LagPlot(const History& history, const std::vector<PhaseSpan>& phases);
// Transactions applied a second, and rows copied a second, over the time in which there were any.
Plot AppliedPlot(const History& history, const std::vector<PhaseSpan>& phases);
Plot CopyPlot(const History& history, const std::vector<PhaseSpan>& phases);

}  // namespace crossfade::tools

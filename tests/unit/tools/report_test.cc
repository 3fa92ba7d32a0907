#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/crossfade/report/figures.h"
#include "tools/crossfade/report/html_table.h"
#include "tools/crossfade/report/plot.h"
#include "tools/crossfade/report/report_html.h"
#include "tools/crossfade/report/report_json.h"
#include "tools/crossfade/report/report_text.h"
#include "tools/crossfade/report/verdict.h"

namespace crossfade::tools {
namespace {

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kStart = 1'700'000'000 * kSecond;

HistorySample SampleAt(int64_t second, int64_t lag_ms, int64_t max_ms = -1, Phase phase = Phase::kFollowing) {
  HistorySample sample;
  sample.at_us = kStart + second * kSecond;
  sample.phase = phase;
  sample.total = {lag_ms, std::max(lag_ms, max_ms)};
  sample.applied_seq = static_cast<uint64_t>(second) * 10 + 1;
  return sample;
}

HistoryPhase PhaseAt(int64_t second, Phase phase) {
  return {kStart + second * kSecond, phase, 7, "crossfade test", ""};
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

TEST(ReportTextTest, WhatComesFromElsewhereCannotBeHtml) {
  EXPECT_EQ(Escaped("<script>alert(\"1\" & '2')</script>"),
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;");
  EXPECT_EQ(Escaped("ünï 漢 🎉"), "ünï 漢 🎉");
  EXPECT_EQ(Escaped(std::string("a\0b\x01\x7f", 5)), "a\ufffdb\ufffd\ufffd");
  EXPECT_EQ(Escaped("\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80 \xe6\xbc"),
            "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd \ufffd\ufffd");
}

TEST(ReportTextTest, NumbersAndTimes) {
  EXPECT_EQ(NumberText(0), "0");
  EXPECT_EQ(NumberText(999), "999");
  EXPECT_EQ(NumberText(1234567), "1\u202f234\u202f567");
  EXPECT_EQ(Counted(1, "row"), "1 row");
  EXPECT_EQ(TimeText(kStart), "2023-11-14 22:13:20 UTC");
  EXPECT_EQ(TimeText(0), "-");
  EXPECT_EQ(DurationText(999'999), "999 ms");
  EXPECT_EQ(DurationText(59'999'999), "59.9 s");
  EXPECT_EQ(DurationText(61 * kSecond), "1 min 01 s");
  EXPECT_EQ(DurationText(3661 * kSecond), "1 h 01 min");
  EXPECT_EQ(DurationText(90'000 * kSecond), "1 d 1 h");
  EXPECT_EQ(LagText(-1), "not known");
  EXPECT_EQ(Shortened("aü", 2), "a… (3 bytes)");
  EXPECT_EQ(Shortened("aü", 3), "aü");
  EXPECT_EQ(Listed({"a", "b", "c"}, 2), "a, b, and 1 more");
}

TEST(FiguresTest, PhasesEndWithTheNextOrWithTheLastSignOfLife) {
  History history;
  history.phases = {PhaseAt(0, Phase::kStarting),  PhaseAt(1, Phase::kCopying),    PhaseAt(11, Phase::kFollowing),
                    PhaseAt(60, Phase::kStarting), PhaseAt(62, Phase::kFollowing), PhaseAt(70, Phase::kStopped)};
  history.samples = {SampleAt(5, -1), SampleAt(20, 5), SampleAt(40, 5), SampleAt(65, 5)};
  const auto spans = PhaseSpans(history, false, kStart + 100 * kSecond);
  ASSERT_EQ(spans.size(), 6);
  EXPECT_EQ(spans[1].to_us - spans[1].from_us, 10 * kSecond);
  EXPECT_TRUE(spans[2].cut);
  EXPECT_EQ(spans[2].to_us, kStart + 40 * kSecond);  // killed some time after this
  EXPECT_FALSE(spans[4].cut);
  EXPECT_TRUE(spans[5].lasting);
  EXPECT_EQ(spans[5].to_us, kStart + 100 * kSecond);

  history.phases.pop_back();
  EXPECT_TRUE(PhaseSpans(history, true, kStart + 100 * kSecond).back().lasting);
  EXPECT_TRUE(PhaseSpans(history, false, kStart + 100 * kSecond).back().cut);
  EXPECT_TRUE(PhaseSpans({}, true, kStart).empty());
}

TEST(FiguresTest, PercentilesAreOfWhatIsKnown) {
  std::vector<int64_t> none;
  EXPECT_EQ(Percentile(&none, 0.5), -1);
  std::vector<int64_t> one = {7};
  EXPECT_EQ(Percentile(&one, 0.99), 7);
  std::vector<int64_t> hundred;
  for (int64_t i = 100; i >= 1; --i) {
    hundred.push_back(i);
  }
  EXPECT_EQ(Percentile(&hundred, 0.5), 50);
  EXPECT_EQ(Percentile(&hundred, 0.99), 99);

  History history;
  history.samples = {SampleAt(1, 9000, 9500, Phase::kCatchingUp), SampleAt(2, 10, 30), SampleAt(3, -1), SampleAt(4, 20),
                     SampleAt(5, 500, 500, Phase::kCopying)};
  const LagFigures lag = LagOf(history, &HistorySample::total);
  EXPECT_EQ(lag.p50_ms, 20);
  EXPECT_EQ(lag.max_ms, 9500);
  EXPECT_EQ(LagOf(history, &HistorySample::total, true).max_ms, 30);
  EXPECT_EQ(LagOf({}, &HistorySample::total).p99_ms, -1);
}

TEST(FiguresTest, TheCopyIsTimedByItsPhasesOrItsMarks) {
  History history;
  history.phases = {PhaseAt(0, Phase::kCopying), PhaseAt(10, Phase::kStopped), PhaseAt(50, Phase::kCopying),
                    PhaseAt(60, Phase::kBuildingKeys)};
  const auto spans = PhaseSpans(history, true, kStart + 70 * kSecond);
  const std::vector<apply::CopiedTable> marks = {{"a", 2, 1500, kStart, kStart + 8 * kSecond},
                                                 {"b", 1, 500, kStart + kSecond, kStart + 20 * kSecond}};
  const CopyFigures copy = CopyOf(spans, &marks, history);
  EXPECT_EQ(copy.seconds_us, 20 * kSecond);
  EXPECT_EQ(copy.ended_us, kStart + 60 * kSecond);
  EXPECT_EQ(*copy.rows, 2000);
  EXPECT_DOUBLE_EQ(copy.rows_per_second, 100);
  EXPECT_DOUBLE_EQ(CopyOf({}, &marks, {}).rows_per_second, 100);  // 2000 rows in 20 s, by the marks
  EXPECT_FALSE(CopyOf(spans, nullptr, history).rows);
}

TEST(FiguresTest, AppliedSinceIsKnownOnlyAsFarAsTheHistoryGoes) {
  History history;
  history.samples = {SampleAt(10, 1), SampleAt(20, 1)};
  EXPECT_EQ(AppliedSince(history, kStart + 15 * kSecond, 301), 200);
  EXPECT_FALSE(AppliedSince(history, kStart + 5 * kSecond, 301));
}

TEST(PlotTest, OfNothingIsNothing) {
  EXPECT_EQ(DrawPlot(LagPlot({}, {})), "");
  History unknown;
  unknown.samples = {SampleAt(1, -1)};
  EXPECT_EQ(DrawPlot(LagPlot(unknown, {})), "");
}

TEST(PlotTest, OneSampleIsAPoint) {
  History history;
  history.step_us = kSecond;
  history.samples = {SampleAt(1, 15)};
  const std::string svg = DrawPlot(LagPlot(history, {}));
  EXPECT_EQ(Count(svg, "<circle"), 1);
  EXPECT_EQ(Count(svg, "nan"), 0);
  EXPECT_EQ(Count(svg, "inf"), 0);
}

TEST(PlotTest, AGapIsNotJoined) {
  History history;
  history.step_us = kSecond;
  for (int64_t second = 0; second < 100; ++second) {
    if (second < 40 || second >= 60) {
      history.samples.push_back(SampleAt(second, 10 + second));
    }
  }
  const std::string svg = DrawPlot(LagPlot(history, {}));
  EXPECT_EQ(Count(svg, "fill=\"none\" stroke=\"#1b4f8a\""), 2);
  history.samples.clear();
  for (int64_t second = 0; second < 100; ++second) {
    history.samples.push_back(SampleAt(second, 10 + second));
  }
  EXPECT_EQ(Count(DrawPlot(LagPlot(history, {})), "fill=\"none\" stroke=\"#1b4f8a\""), 1);
}

TEST(PlotTest, StaysSmallAndWithinItsFrameHoweverManySamples) {
  History history;
  history.step_us = kSecond;
  for (int64_t second = 0; second < 100'000; ++second) {
    history.samples.push_back(SampleAt(second, second * 1000, second * 2000));
  }
  history.samples.push_back(SampleAt(100'000, INT64_MAX / 4, INT64_MAX / 4));
  const std::string svg = DrawPlot(LagPlot(history, {{kStart - 5 * kSecond, kStart + 9, Phase::kCopying, 1, "", ""}}));
  EXPECT_LT(svg.size(), 40'000);
  int points = 0;
  for (size_t at = svg.find_first_of("ML"); at != std::string::npos; at = svg.find_first_of("ML", at + 1)) {
    double x = 0;
    double y = 0;
    if (std::sscanf(svg.c_str() + at + 1, "%lf %lf", &x, &y) != 2) {
      continue;  // a letter of a word
    }
    ++points;
    EXPECT_GE(x, 0) << svg.substr(at, 30);
    EXPECT_LE(x, 720) << svg.substr(at, 30);
    EXPECT_GE(y, 0) << svg.substr(at, 30);
    EXPECT_LE(y, 224) << svg.substr(at, 30);
  }
  EXPECT_GT(points, 100);
}

// A migration as large as they come, with names that are a nuisance.
ReportData Large(size_t tables, size_t differences) {
  ReportData data;
  data.made_us = kStart + 86'400 * kSecond;
  data.name = "acme";
  data.program = "crossfade test";
  data.source = "MariaDB at 127.0.0.1:3306, database shop";
  data.target = "PostgreSQL at 127.0.0.1:5432, database cloud, schema public";
  data.tenant = "tenant_id = '<b>'";
  data.record.emplace();
  data.record->known = true;
  data.record->state.facts = {"tables", "copied", "keys", "foreign_keys", "identity", "analyzed"};
  data.verification.emplace();
  for (size_t i = 0; i < tables; ++i) {
    const std::string name = "<script>" + std::string(40, 'x') + "</script>" + std::to_string(i);
    data.tables.push_back({name,
                           "public." + name,
                           "id",
                           {{"id", "int(11)", "integer", "id", "", false}, {"a<b", "text", "text", "a<b", ""}},
                           1000,
                           2});
    data.record->objects.push_back({"table", "public", name, name, "", true, true});
    data.record->objects.push_back({"index", "public", name, name + "_idx", "btree (\"a<b\")", true, i != 3});
    data.verification->tables.push_back({name, "equal", 1000, 1000});
    data.verification->rows += 1000;
  }
  for (size_t i = 0; i < differences; ++i) {
    data.verification->shown.push_back(
        {data.tables[0].source, "id=" + std::to_string(i), "different", {{"a<b", "'<i>'", std::string(5000, 'y')}}});
  }
  data.verification->differences = differences;
  data.verification->result = differences > 0 ? "different" : "equal";
  data.verification->ended_us = data.made_us - 60 * kSecond;
  data.verification->began_us = data.made_us - 90 * kSecond;
  data.status.emplace();
  data.status->phase = Phase::kFollowing;
  data.alive = true;
  data.history.step_us = kSecond;
  data.history.phases = {PhaseAt(0, Phase::kStarting), PhaseAt(1, Phase::kFollowing)};
  for (int64_t second = 0; second < 3600; ++second) {
    data.history.samples.push_back(SampleAt(second, 5 + second % 50));
  }
  data.phases = PhaseSpans(data.history, true, data.made_us);
  data.lag_looks = data.history.samples.size();
  data.verdict = JudgeReport(data);
  return data;
}

TEST(ReportHtmlTest, HoldsNothingThatRunsOrIsElsewhere) {
  const ReportData data = Large(400, 1000);
  const std::string html = ReportHtml(data, "digest");
  EXPECT_EQ(Count(html, "<script"), 0);
  EXPECT_EQ(Count(html, "<i>"), 0);
  EXPECT_EQ(Count(html, "src="), 0);
  EXPECT_EQ(Count(html, "url("), 0);
  EXPECT_EQ(Count(html, "http"), 0);
  EXPECT_EQ(Count(html, "@import"), 0);
  EXPECT_GT(Count(html, "&lt;script&gt;"), 400);
  EXPECT_LT(html.size(), 1 << 20);
  for (const char* element : {"table", "tr", "td", "div", "section", "figure", "svg", "ul", "p", "h2"}) {
    const size_t opened = Count(html, std::string("<") + element + ">") + Count(html, std::string("<") + element + " ");
    EXPECT_EQ(opened, Count(html, std::string("</") + element + ">")) << element;
  }
}

TEST(ReportHtmlTest, SumsStandUnderTheirHeadings) {
  ReportData data = Large(2, 0);
  data.copy.rows = 1234;
  const std::string html = ReportHtml(data, "");
  const size_t begin = html.find("<tr class=\"total\">");
  ASSERT_NE(begin, std::string::npos);
  const std::string row = html.substr(begin, html.find("</tr>", begin) - begin);
  std::vector<std::string> cells;
  for (size_t at = row.find("<td"); at != std::string::npos; at = row.find("<td", at)) {
    at = row.find('>', at) + 1;
    cells.push_back(row.substr(at, row.find('<', at) - at));
  }
  EXPECT_EQ(cells,
            (std::vector<std::string>{"all", "", NumberText(1234), NumberText(2000), NumberText(2000), "equal"}));
}

TEST(ReportHtmlTest, SaysWhatItLeavesOut) {
  const std::string html = ReportHtml(Large(2, 1000), "");
  EXPECT_NE(html.find("800 more differences"), std::string::npos);
  EXPECT_NE(html.find("(5000 bytes)"), std::string::npos);
}

TEST(ReportHtmlTest, RowsOfOneRepairAreOneLineAndNoOtherActionIsLost) {
  ReportData data = Large(2, 0);
  data.audit.kept = true;
  for (uint64_t seq = 1; seq <= 700; ++seq) {
    data.audit.actions.push_back({seq, "2026-01-02T03:04:05", "anna@host", "pause", "", 7, 0});
  }
  for (uint64_t seq = 701; seq <= 740; ++seq) {
    data.audit.actions.push_back({seq, "2026-01-02T03:04:05", "anna@host", "repair ended", "{\"rows\":[]}", 9, 50});
  }
  data.audit.actions.push_back({741, "2026-01-02T03:04:05", "anna@host", "repair ended", "{\"rows\":[]}", 11, 3});
  data.audit.left_out = 12;
  const std::string html = ReportHtml(data, "");
  EXPECT_EQ(Count(html, "<td>pause</td>"), 700);
  EXPECT_EQ(Count(html, "<td>repair ended</td>"), 2);
  EXPECT_NE(html.find(NumberText(2000) + " rows in 40 records"), std::string::npos);
  EXPECT_NE(html.find("3 rows in 1 record;"), std::string::npos);
  EXPECT_NE(html.find("12 actions and 0 phases before these are left out"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(ReportJson(data)).at("audit").at("actions").size(), 741);
}

TEST(VerdictTest, WhatContinuousComparisonKnowsIsSaid) {
  ReportData data = Large(5, 0);
  data.record->objects.clear();
  data.status->verify.on = true;
  EXPECT_EQ(JudgeReport(data).verdict, Verdict::kEqual);
  ReportData open = data;
  open.status->verify.open = 2;
  EXPECT_EQ(JudgeReport(open).verdict, Verdict::kDifferent);
  EXPECT_EQ(JudgeReport(open).remarks.size(), 1);
  open.verification.reset();
  EXPECT_EQ(JudgeReport(open).verdict, Verdict::kDifferent);
  EXPECT_NE(JudgeReport(open).sentence.find("2 rows are known"), std::string::npos);
  for (const auto change :
       {+[](StatusReport::Verify* v) { v->undecided = 1; }, +[](StatusReport::Verify* v) { v->waiting = {"t"}; },
        +[](StatusReport::Verify* v) { v->problem = "away"; }}) {
    ReportData remarked = data;
    change(&remarked.status->verify);
    EXPECT_EQ(JudgeReport(remarked).verdict, Verdict::kEqualWithRemarks);
    EXPECT_EQ(JudgeReport(remarked).remarks.size(), 1);
  }
}

TEST(ReportHtmlTest, OfNothingKnownIsStillAWholePage) {
  ReportData data;
  data.name = "x";
  data.unread = {"the target: <away>"};
  data.verdict = JudgeReport(data);
  const std::string html = ReportHtml(data, "");
  EXPECT_NE(html.find("Not verified"), std::string::npos);
  EXPECT_NE(html.find("the target: &lt;away&gt;"), std::string::npos);
  EXPECT_NE(html.find("</html>"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(ReportJson(data)).at("verification"), nullptr);
}

TEST(VerdictTest, TheWorstThatIsKnownStandsFirst) {
  ReportData data = Large(5, 0);
  EXPECT_EQ(data.verdict.verdict, Verdict::kEqualWithRemarks);  // an index is not valid
  data.record->objects.clear();
  EXPECT_EQ(JudgeReport(data).verdict, Verdict::kEqual);
  EXPECT_TRUE(JudgeReport(data).remarks.empty());
  EXPECT_EQ(VerdictName(JudgeReport(data).verdict), "equal");

  ReportData partial = data;
  partial.verification->tables.pop_back();
  EXPECT_EQ(JudgeReport(partial).verdict, Verdict::kEqualWithRemarks);
  ReportData old = data;
  old.verification->ended_us -= 2 * 86'400 * kSecond;
  EXPECT_EQ(JudgeReport(old).verdict, Verdict::kEqualWithRemarks);
  ReportData diverged = data;
  diverged.record->divergence_count = 1;
  EXPECT_EQ(JudgeReport(diverged).verdict, Verdict::kEqualWithRemarks);
  ReportData stands = data;
  stands.alive = false;
  EXPECT_EQ(JudgeReport(stands).verdict, Verdict::kEqualWithRemarks);

  data.verification->undecided = 1;
  EXPECT_EQ(JudgeReport(data).verdict, Verdict::kUndecided);
  data.record->state.facts = {"tables"};
  EXPECT_EQ(JudgeReport(data).verdict, Verdict::kIncomplete);
  data.status->phase = Phase::kFailed;
  EXPECT_EQ(JudgeReport(data).verdict, Verdict::kFailed);
  data.verification->differences = 1;
  EXPECT_EQ(JudgeReport(data).verdict, Verdict::kDifferent);
}

}  // namespace
}  // namespace crossfade::tools

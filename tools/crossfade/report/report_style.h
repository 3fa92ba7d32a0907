// How a report looks, on the screen and on A4.
#pragma once

namespace crossfade::tools {

inline constexpr const char* kReportStyle = R"css(
:root { --ink: #1c1f24; --soft: #5b6470; --line: #d6dae0; --tint: #f5f6f8; --good: #2b7a3d; --warn: #b06a00; --bad: #b3261e; }
* { box-sizing: border-box; }
html { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
body { margin: 0; background: #fff; color: var(--ink); font: 14px/1.45 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; }
main { max-width: 190mm; margin: 0 auto; padding: 12mm 6mm 20mm; }
h1 { margin: 0 0 1mm; font-size: 27px; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 11mm 0 3mm; padding-bottom: 1.2mm; border-bottom: 1.5px solid var(--ink); font-size: 18px; break-after: avoid; }
h3 { margin: 6mm 0 2mm; font-size: 14.5px; break-after: avoid; overflow-wrap: anywhere; }
p { margin: 0 0 2.5mm; overflow-wrap: anywhere; }
code { font: 0.92em "DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.kind { margin: 0 0 1mm; color: var(--soft); font-size: 12px; letter-spacing: .09em; text-transform: uppercase; }
.note, .none { color: var(--soft); font-size: 12.5px; }
.verdict { margin: 6mm 0; padding: 4mm 5mm; border: 1px solid var(--line); border-left: 7px solid var(--warn); background: var(--tint); break-inside: avoid; }
.verdict b { display: block; margin-bottom: 1mm; color: var(--warn); font-size: 24px; line-height: 1.2; }
.verdict p { margin: 0; }
.good { border-left-color: var(--good); } .good b { color: var(--good); }
.bad { border-left-color: var(--bad); } .bad b { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(5, 1fr); margin: 0 0 6mm; border: solid var(--line); border-width: 1px 0 0 1px; break-inside: avoid; }
.tile { min-width: 0; padding: 2.4mm 2.6mm; border: solid var(--line); border-width: 0 1px 1px 0; }
.tile span { display: block; color: var(--soft); font-size: 11.5px; line-height: 1.3; overflow-wrap: anywhere; }
.tile strong { display: block; margin: .6mm 0; font-size: 19px; line-height: 1.2; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.tile.wrong strong { color: var(--bad); }
ul { margin: 0 0 3mm; padding-left: 5mm; } li { margin-bottom: 1mm; overflow-wrap: anywhere; }
ol.contents { columns: 2; margin: 0; padding: 0; list-style: none; font-size: 12.5px; } ol.contents a { color: inherit; text-decoration: none; }
table { width: 100%; margin: 0 0 4mm; border-collapse: collapse; font-size: 12.5px; line-height: 1.35; }
th, td { padding: 1.1mm 2mm; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead { display: table-header-group; }
thead th { border-bottom: 1.2px solid #8b929c; color: var(--soft); font-weight: 600; vertical-align: bottom; }
tr { break-inside: avoid; }
td { overflow-wrap: anywhere; }
th.name, td.name { min-width: 23mm; } td.name { font: 11.8px/1.4 "DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th.number { white-space: normal; }
td.narrow { white-space: nowrap; }
tr.total td { border-top: 1.2px solid #8b929c; font-weight: 600; }
tr.wrong td { background: #fbecea; }
tr.group td { padding-top: 2.6mm; background: var(--tint); font-weight: 600; break-after: avoid; }
.facts, .short { break-inside: avoid; } .facts th { width: 41mm; color: var(--soft); font-weight: 400; } .facts { font-size: 13px; }
figure { margin: 2mm 0 5mm; break-inside: avoid; } figure > svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: inherit; }
.legend { margin: 1mm 0 0; font-size: 12px; } .legend span { display: inline-block; margin-right: 5mm; white-space: nowrap; } .legend svg { vertical-align: middle; }
figcaption .note { margin: 0; }
.sign { break-inside: avoid; } .sign td { height: 11mm; border: 1px solid var(--line); } .sign th { width: 22mm; color: var(--soft); font-weight: 400; }
.sign thead th { width: auto; border-bottom: 0; } .hash { font: 11px "DejaVu Sans Mono", "Liberation Mono", monospace; overflow-wrap: anywhere; }
@media print {
  body { font-size: 9.6pt; } main { max-width: none; padding: 0; }
  table { font-size: 8.6pt; } td.name { font-size: 8pt; } h1 { font-size: 20pt; } h2 { font-size: 13pt; } h3 { font-size: 10.5pt; }
  .first { break-after: page; } .appendix { break-before: page; } a { color: inherit; }
}
@page { size: A4; margin: 17mm 16mm 18mm; @bottom-right { content: counter(page) " / " counter(pages); font: 8pt Helvetica, Arial, "Liberation Sans", sans-serif; color: #5b6470; } }
)css";

}  // namespace crossfade::tools

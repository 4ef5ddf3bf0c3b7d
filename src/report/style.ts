/**
 * Style sheet of all pages: one column, light or dark as the reader's system, readable on phones and on
 * paper.
 */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ink: #1b1f24; --quiet: #5c6672; --paper: #fff; --soft: #f5f6f8; --line: #dfe3e8;
  --good: #17774a; --fair: #a24d0f; --bad: #b3261e;
  --look0: #1f5fbf; --look1: #c2541b; --look2: #17845a; --look3: #8146b8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e5e8ec; --quiet: #9aa5b1; --paper: #14171b; --soft: #1c2026; --line: #2f363f;
    --good: #62cf9a; --fair: #f0a366; --bad: #ff8a80;
    --look0: #79adff; --look1: #ff9f6b; --look2: #5fd0a0; --look3: #c79bf2;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 72rem; padding: 3rem clamp(1rem, 4vw, 3rem) 5rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
h1, h2, h3, h4, caption, strong { font-weight: 650; }
h1 { font-size: 2.1rem; line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.45rem; line-height: 1.25; letter-spacing: -.012em; margin: 0 0 .35rem; overflow-wrap: anywhere; }
h3 { font-size: 1.1rem; margin: 2.25rem 0 .75rem; }
h3 .quiet { font-size: .85rem; }
h4 { font-size: .95rem; margin: 0; }
section > h4 { margin-top: 1.75rem; }
p, ul { margin: 0 0 .75rem; }
a { color: var(--look0); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--look0); outline-offset: 3px; }
.quiet { color: var(--quiet); font-weight: 400; }
.missing { color: var(--quiet); font-style: italic; }
.warning, .stopped { color: var(--fair); }
.completed { color: var(--good); }
.failed { color: var(--bad); }
header { margin-bottom: 2.5rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: 1rem 0 0; padding: 0; list-style: none; }
section { border-top: 1px solid var(--line); padding-top: 1.75rem; margin-top: 3rem; }
.outcome { margin-bottom: 1.25rem; overflow-wrap: anywhere; }
.outcome strong { text-transform: capitalize; }
.warnings { border-left: 3px solid var(--fair); padding: .1rem 0 .1rem 1rem; list-style: none; overflow-wrap: anywhere; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 2rem; align-items: start; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--look0); outline-offset: 2px; }
h2 + .columns { margin-top: 1rem; }
.columns table { margin-top: 0; }
.evaluation table { font-size: .86rem; }
.evaluation th, .evaluation td { padding-inline: .45rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .9rem 1.5rem; margin: 0; }
dt { color: var(--quiet); font-size: .82rem; }
dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: 1.25rem 0 .75rem; font-size: .92rem; }
caption { text-align: left; padding-bottom: .5rem; font-size: .95rem; }
th, td { padding: .4rem .75rem; text-align: right; vertical-align: baseline; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 500; }
tbody th, tfoot th, th:first-child, td:first-child { text-align: left; padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
thead th, .scale { color: var(--quiet); font-size: .82rem; vertical-align: bottom; }
thead th { white-space: normal; }
tfoot th, tfoot td { font-weight: 650; border-bottom: 0; }
th.word, td.word { text-align: left; }
td.wide { white-space: normal; overflow-wrap: anywhere; min-width: 14rem; }
td.missing { text-align: left; }
td.plot { width: 22%; min-width: 5rem; }
td.plot svg { width: 100%; display: block; transform: translateY(.15em); }
.scale span:last-child { float: right; }
.scale span:first-child { float: left; }
figure { margin: 0; min-width: 0; }
.chart svg:not(.swatch) { width: 100%; height: auto; display: block; margin-top: .35rem; }
.chart .quiet { font-size: .82rem; }
svg text { fill: var(--quiet); font-size: 12px; font-family: inherit; }
.grid { stroke: var(--line); fill: none; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.spread { opacity: .16; stroke: none !important; }
.look0 { stroke: var(--look0); } .look1 { stroke: var(--look1); } .look2 { stroke: var(--look2); } .look3 { stroke: var(--look3); }
.line.look1 { stroke-dasharray: 7 4; } .line.look2 { stroke-dasharray: 2 4; } .line.look3 { stroke-dasharray: 9 4 2 4; }
.spread.look0, circle.look0 { fill: var(--look0); } .spread.look1, circle.look1 { fill: var(--look1); }
.spread.look2, circle.look2 { fill: var(--look2); } .spread.look3, circle.look3 { fill: var(--look3); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.25rem; margin: .15rem 0 0; padding: 0; list-style: none; font-size: .85rem; color: var(--quiet); }
.legend b { color: var(--ink); font-weight: 600; }
.swatch { width: 26px; height: 8px; margin-right: .45rem; vertical-align: middle; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 1.75rem 1.5rem; margin-top: .9rem; }
.pictures img { width: 100%; height: auto; display: block; }
.note { color: var(--quiet); font-size: .86rem; max-width: 52rem; }
.note:empty { display: none; }
.verdicts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1.25rem 2rem; margin: .75rem 0 2rem; }
.verdicts > div { display: grid; gap: 1.25rem; align-content: start; }
.verdicts p { margin: 0; }
.verdicts h5 { margin: 0; font-size: .88rem; font-weight: 650; text-transform: capitalize; }
h5.accepted { color: var(--good); } h5.rejected { color: var(--bad); }
.verdicts figcaption { font-size: .88rem; margin-top: .35rem; line-height: 1.4; }
.verdicts figcaption .quiet { display: block; }
.slices { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .4rem; align-items: start; }
.slices + .slices { margin-top: .4rem; }
.slices.two { grid-template-columns: repeat(2, minmax(0, 1fr)); }
.slices.one { grid-template-columns: minmax(0, 1fr); }
.slices.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 11.5rem), 1fr)); gap: .6rem; }
.slice p { margin: .15rem 0 0; color: var(--quiet); font-size: .76rem; line-height: 1.3; overflow-wrap: anywhere; }
/* a scan is on black in light and dark */
.ground { position: relative; background: #000; color: #f2f4f6; border-radius: .2rem; overflow: hidden; }
.ground svg { display: block; width: 100%; height: auto; }
.ground i { position: absolute; font: 600 .68rem/1 system-ui, sans-serif; text-shadow: 0 0 3px #000, 0 0 2px #000; }
.side0 { left: .3rem; top: calc(50% - .34rem); } .side1 { right: .3rem; top: calc(50% - .34rem); }
.side2 { top: .3rem; left: 0; right: 0; text-align: center; } .side3 { bottom: .3rem; left: 0; right: 0; text-align: center; }
.ground .bar-mm { left: .4rem; bottom: .4rem; padding-bottom: .2rem; border-bottom: 2px solid #f2f4f6; box-shadow: 0 1px 0 #000; text-align: center; white-space: nowrap; font-size: .62rem; }
.outline { fill: none; stroke-width: 1.4; vector-effect: non-scaling-stroke; }
.outline.tumor { stroke: #ffbe00; } .outline.truth { stroke: #3cc878; } .outline.predicted { stroke: #ff8c00; }
.outline.against { stroke: #5fb4ff; } .outline.frame { stroke: #f2f4f6; stroke-dasharray: 4 3; stroke-width: 1; }
.outlines li::before { content: ""; display: inline-block; width: 1.1rem; height: .2rem; margin-right: .45rem; border-radius: .1rem; vertical-align: middle; }
.outlines .truth::before { background: #3cc878; } .outlines .predicted::before { background: #ff8c00; } .outlines .against::before { background: #5fb4ff; }
td.plot svg.bar { height: .95rem; }
rect.stage { fill: var(--look0); } rect.gain { fill: var(--good); } rect.loss { fill: var(--bad); }
.pictures figcaption { font-size: .88rem; margin-top: .5rem; line-height: 1.4; }
.pictures figcaption .quiet { display: block; }
.masks { display: grid; gap: 1.5rem; margin: .9rem 0 1.5rem; }
.masks figcaption { font-size: .88rem; margin-top: .4rem; }
rect.look0 { fill: var(--look0); stroke: none; }
.forest td.plot { min-width: 12rem; }
details { margin-top: 1.5rem; }
summary { cursor: pointer; font-weight: 500; }
pre { overflow-x: auto; margin: .75rem 0 0; padding: 1rem 1.25rem; background: var(--soft); font: .82rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; tab-size: 2; }
@media (max-width: 34rem) {
  .slices { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .slices.wide { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .slices.wide > :first-child { grid-column: 1 / -1; }
  /* the first column of a table stays while the others scroll */
  .scroll tbody th, .scroll tfoot th, .scroll thead th:first-child { position: sticky; left: 0; background: var(--paper); white-space: normal; overflow-wrap: anywhere; max-width: 9.5rem; min-width: 8rem; padding-right: .6rem; }
  td.wide { min-width: 16rem; }
}
@media print { body { max-width: none; padding: 0; } nav { display: none; } figure, tr, .slice { break-inside: avoid; } h2, h3, h4, h5 { break-after: avoid; } .scroll { overflow: visible; } .ground { print-color-adjust: exact; } }
`

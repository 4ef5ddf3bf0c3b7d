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
.pictures figcaption { font-size: .88rem; margin-top: .5rem; line-height: 1.4; }
.pictures figcaption .quiet { display: block; }
.masks { display: grid; gap: 1.5rem; margin: .9rem 0 1.5rem; }
.masks img { width: 100%; max-width: 972px; height: auto; display: block; image-rendering: pixelated; }
.masks figcaption { font-size: .88rem; margin-top: .4rem; }
rect.look0 { fill: var(--look0); stroke: none; }
.forest td.plot { min-width: 12rem; }
details { margin-top: 1.5rem; }
summary { cursor: pointer; font-weight: 500; }
pre { overflow-x: auto; margin: .75rem 0 0; padding: 1rem 1.25rem; background: var(--soft); font: .82rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; tab-size: 2; }
@media print { body { max-width: none; padding: 0; } nav { display: none; } figure, tr { break-inside: avoid; } }
`

/** The page's look: one column of cards, light or dark as the reader's system is. */
export const STYLE = `
:root{color-scheme:light dark;--ink:#1c2330;--quiet:#647084;--paper:#f6f7f9;--card:#fff;--line:#dde2ea;--a:#2563c9;--b:#d9622b;--c:#2b9a66;--d:#8a4fbf}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf2;--quiet:#97a3b6;--paper:#12161d;--card:#1a202a;--line:#2e3745;--a:#6ea4ff;--b:#ff9a62;--c:#5fd39b;--d:#c08cf0}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}h1{font-size:1.9rem;margin:0}h2{font-size:1.3rem;margin:0 0 8px}h3{font-size:1.05rem;margin:24px 0 8px}
.quiet{color:var(--quiet);font-weight:400}section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 24px;margin-top:20px}
table{border-collapse:collapse;width:100%;margin:12px 0;font-variant-numeric:tabular-nums}caption{text-align:left;font-weight:600;padding-bottom:6px}
th,td{text-align:right;padding:5px 10px;border-bottom:1px solid var(--line)}th:first-child,td:first-child{text-align:left;padding-left:0}th{color:var(--quiet);font-weight:500;font-size:.85rem}
dl{display:flex;flex-wrap:wrap;gap:8px 28px;margin:12px 0}dt{color:var(--quiet);font-size:.8rem}dd{margin:0;font-variant-numeric:tabular-nums}
.badge{display:inline-block;margin:0;padding:2px 12px;border-radius:99px;font-size:.9rem;border:1px solid}.completed{color:var(--c)}.stopped{color:var(--b)}.failed{color:#d43d4f}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:20px}figure{margin:8px 0}figcaption{font-size:.9rem}svg{width:100%;height:auto;display:block}
.tick{fill:var(--quiet);font-size:11px;font-family:inherit}.grid{stroke:var(--line)}polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}
.line0{stroke:var(--a);}.line1{stroke:var(--b)}.line2{stroke:var(--c)}.line3{stroke:var(--d)}circle.line0{fill:var(--a)}circle.line1{fill:var(--b)}
.key{font-size:.82rem;color:var(--quiet);margin-left:10px;white-space:nowrap}.key::before{content:"";display:inline-block;width:14px;height:3px;margin-right:5px;vertical-align:middle;background:currentColor}
.key0::before{color:var(--a)}.key1::before{color:var(--b)}.key2::before{color:var(--c)}.key3::before{color:var(--d)}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:16px}.picture img{width:100%;height:auto;border-radius:6px;image-rendering:pixelated;border:1px solid var(--line)}
details{margin-top:14px}summary{cursor:pointer;color:var(--quiet)}pre{overflow:auto;font-size:.82rem;line-height:1.45;background:var(--paper);padding:12px;border-radius:8px}.warning{color:var(--b)}
`

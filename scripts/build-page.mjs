#!/usr/bin/env node
/**
 * Bundles the page of `freetumor studio` into dist/studio/page. The build calls it after the compiler:
 *     node scripts/build-page.mjs
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'
import { STYLE } from '../dist/report/style.js'

const inRoot = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const page = inRoot('src/studio/page')
const out = inRoot('dist/studio/page')
mkdirSync(out, { recursive: true })
/** The page, the pages of data, which are loaded when they are needed, and the page of a reader study. */
const bundles = [
  { from: 'main.ts', to: 'page.js', format: 'iife' },
  { from: 'review/main.ts', to: 'review.js', format: 'esm' },
  { from: 'readers/main.ts', to: 'readers.js', format: 'iife' },
]
for (const { from, to, format } of bundles)
  await build({
    entryPoints: [join(page, from)],
    outfile: join(out, to),
    bundle: true,
    minify: true,
    format,
    target: 'es2023',
    legalComments: 'none',
    // no path of this machine in the page
    absWorkingDir: inRoot('.'),
  })
const minified = async (style) => (await transform(style, { loader: 'css', minify: true })).code
const read = (file) => readFileSync(file, 'utf8')
const sheets = [inRoot('node_modules/uplot/dist/uPlot.min.css'), join(page, 'page.css')]
writeFileSync(join(out, 'page.css'), await minified([STYLE, ...sheets.map(read)].join('\n')))
writeFileSync(join(out, 'review.css'), await minified(read(join(page, 'review/review.css'))))
writeFileSync(join(out, 'readers.css'), await minified(read(join(page, 'readers/readers.css'))))
copyFileSync(join(page, 'readers/readers.html'), join(out, 'readers.html'))
for (const file of ['index.html', 'icon.svg']) copyFileSync(join(page, file), join(out, file))
copyFileSync(inRoot('node_modules/uplot/LICENSE'), join(out, 'uplot-LICENSE.txt'))

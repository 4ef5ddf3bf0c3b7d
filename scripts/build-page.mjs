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
await build({
  entryPoints: [join(page, 'main.ts')],
  outfile: join(out, 'page.js'),
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2023',
  legalComments: 'none',
  // no path of this machine in the page
  absWorkingDir: inRoot('.'),
})
const sheets = [inRoot('node_modules/uplot/dist/uPlot.min.css'), join(page, 'page.css')]
const style = [STYLE, ...sheets.map((file) => readFileSync(file, 'utf8'))].join('\n')
writeFileSync(join(out, 'page.css'), (await transform(style, { loader: 'css', minify: true })).code)
for (const file of ['index.html', 'icon.svg']) copyFileSync(join(page, file), join(out, file))
copyFileSync(inRoot('node_modules/uplot/LICENSE'), join(out, 'uplot-LICENSE.txt'))

#!/usr/bin/env node
/**
 * Measure the viewer of `freetumor studio` in a real Chromium with software rendering, and the memory of its server:
 *
 *     npm run build && node scripts/benchmarks/studio.mjs [--size 512x512x200] [--lines 100000] [--clients 10]
 *
 * The scans are made here. Needs Chromium on PATH or in CHROME_PATH. Prints JSON; times in milliseconds.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'
import { chromium } from 'playwright-core'
import { encodeNiftiHeader } from '../../dist/volume/nifti-header.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '512x512x200' },
    lines: { type: 'string', default: '100000' },
    clients: { type: 'string', default: '10' },
  },
})
const shape = values.size.split('x').map(Number)
const affine = [-0.8, 0, 0, 200, 0, -0.8, 0, 200, 0, 0, 2, 0, 0, 0, 0, 1]
const SCANS = 3
const folder = mkdtempSync(join(tmpdir(), 'freetumor-studio-'))
const report = {
  machine: { cores: cpus().length, loadAverage: loadavg().map((one) => Number(one.toFixed(1))) },
  size: values.size,
  weights: Object.fromEntries(
    ['page.js', 'page.css', 'review.js', 'review.css'].map((name) => {
      const bytes = readFileSync(join(root, 'dist/studio/page', name))
      return [name, { bytes: bytes.length, gzip: gzipSync(bytes).length }]
    }),
  ),
}
let server
let browser
try {
  writeDataSets()
  const url = await startServer()
  const chrome = process.env.CHROME_PATH ?? execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim()
  browser = await chromium.launch({ executablePath: chrome, args: ['--no-sandbox', '--disable-gpu'] })
  report.firstPaint = await firstPaint(url)
  report.list = await listFigures(url)
  report.volumes = await volumeFigures(url)
  report.server = await serverMemory(url)
} finally {
  await browser?.close()
  server?.kill()
  rmSync(folder, { recursive: true, force: true })
}
console.log(JSON.stringify(report, null, 2))

/** A data set with large scans, and one with a long ledger. */
function writeDataSets() {
  const volumes = (name) => join(folder, name)
  for (const one of ['imagesTr', 'labelsTr', 'tumorsTr'])
    mkdirSync(volumes(`large/${one}`), { recursive: true })
  mkdirSync(volumes('hosts'))
  const lines = []
  const count = shape[0] * shape[1] * shape[2]
  const host = new Int16Array(count)
  // noise of 32 HU levels, which compresses as little as that of a CT
  let state = 1
  for (let at = 0; at < count; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    host[at] = 24 + (state & 31)
  }
  const label = new Uint8Array(count).fill(1)
  for (let scan = 0; scan < SCANS; scan++) {
    const middle = shape.map((side, axis) => Math.round(side * (0.4 + 0.08 * scan * (axis === 2 ? 1 : 0.5))))
    const [synthetic, painted, numbers] = [host.slice(), label.slice(), new Uint8Array(count)]
    for (let k = -9; k <= 9; k++)
      for (let j = -12; j <= 12; j++)
        for (let i = -12; i <= 12; i++) {
          const at = middle[0] + i + shape[0] * (middle[1] + j + shape[1] * (middle[2] + k))
          synthetic[at] -= 60
          painted[at] = 2
          numbers[at] = 1
        }
    const write = (file, type, voxels) => {
      const bytes = gzipSync(
        Buffer.concat([encodeNiftiHeader(shape, affine, type), Buffer.from(voxels.buffer)]),
        {
          level: 1,
        },
      )
      writeFileSync(volumes(file), bytes)
      return createHash('sha256').update(bytes).digest('hex')
    }
    const name = `case_${scan}_v000.nii.gz`
    const centreMm = [0, 1, 2].map((axis) => affine[axis * 5] * middle[axis] + affine[axis * 4 + 3])
    lines.push(
      line(`case_${scan}`, 0, {
        host: write(`hosts/case_${scan}.nii.gz`, 'int16', host),
        file: name,
        sha256: write(`large/imagesTr/${name}`, 'int16', synthetic),
        plan: { boxShape: [24, 24, 18], centreMm },
      }),
    )
    write(`large/labelsTr/${name}`, 'uint8', painted)
    write(`large/tumorsTr/${name}`, 'uint8', numbers)
  }
  report.storedMb = Number((statSync(volumes('hosts/case_0.nii.gz')).size / 1e6).toFixed(1))
  writeLedger('large', lines)
  mkdirSync(volumes('long'))
  const many = Array.from({ length: Number(values.lines) }, (_, at) =>
    line(`case_${at % 1000}`, at, {
      organ: ['liver', 'pancreas', 'kidney'][at % 3],
      verdict: at % 4 === 0 ? 'rejected' : 'accepted',
      ...(at % 4 === 0
        ? {}
        : { file: `case_${at}.nii.gz`, sha256: createHash('sha256').update(`${at}`).digest('hex') }),
      measures: {
        shareSeen: (at % 97) / 97,
        contrastHu: -(at % 89),
        volumeMl: (at % 1009) / 10,
        insideOrgan: 1,
      },
    }),
  )
  writeLedger('long', many)
  report.ledger = {
    lines: many.length,
    mb: Number((statSync(volumes('long/ledger.jsonl')).size / 1e6).toFixed(1)),
  }
}

function line(caseId, tumor, given) {
  return {
    case: caseId,
    host: null,
    variant: 0,
    tumor,
    attempt: 0,
    organ: 'liver',
    size: 'small',
    verdict: 'accepted',
    reason: 'seen',
    plan: {
      centre: [1, 2, 3],
      radii: [4, 5, 6],
      boxOrigin: [1, 2, 3],
      boxShape: [9, 9, 9],
      centreMm: [1, 2, 3],
    },
    measures: {},
    ...given,
  }
}

function writeLedger(name, lines) {
  writeFileSync(join(folder, name, 'ledger.jsonl'), lines.map((one) => `${JSON.stringify(one)}\n`).join(''))
  const labels = { 1: 'liver', 2: 'liver tumor' }
  writeFileSync(join(folder, name, 'dataset.json'), JSON.stringify({ labels }))
}

async function startServer() {
  server = spawn(process.execPath, [join(root, 'dist/cli/main.js'), 'studio', folder, '--output', 'json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let text = ''
  for await (const chunk of server.stdout) {
    text += chunk
    if (text.trimEnd().endsWith('}')) break
  }
  return JSON.parse(text).url
}

async function firstPaint(url) {
  const page = await browser.newPage()
  await page.goto(url)
  await page.waitForTimeout(1500)
  const ms = await page.evaluate(
    () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null,
  )
  await page.close()
  return ms === null ? null : Math.round(ms)
}

async function openData(url, name) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
  await page.goto(url)
  await page.getByRole('link', { name: 'Data', exact: true }).click()
  const link = page.getByRole('link', { name, exact: true })
  await link.waitFor()
  return { page, link }
}

async function listFigures(url) {
  const { page, link } = await openData(url, 'long')
  const started = performance.now()
  await link.click()
  await page.locator('.item').first().waitFor()
  const shown = Math.round(performance.now() - started)
  /** Change a field, and return the time until the list shows the result. */
  const change = (selector, value, event) =>
    page.evaluate(
      ([selector, value, event]) => {
        const field = document.querySelector(selector)
        const from = performance.now()
        field.value = value
        field.dispatchEvent(new Event(event))
        document.querySelector('.item-list').getBoundingClientRect()
        return Number((performance.now() - from).toFixed(1))
      },
      [selector, value, event],
    )
  const figures = {
    shownFirst: shown,
    filterByOrgan: await change('#filter-organ', 'kidney', 'change'),
    search: await change('#search', 'case_99', 'input'),
    all: await change('#search', '', 'input'),
    sortByMeasure: await change('#sort', 'measure shareSeen', 'change'),
  }
  const sizes = await page.evaluate(() =>
    performance.getEntriesByType('resource').map(({ name, transferSize }) => [name, transferSize]),
  )
  figures.tableMb = Number((Math.max(...sizes.map(([, size]) => size)) / 1e6).toFixed(1))
  await page.close()
  return figures
}

async function volumeFigures(url) {
  const { page, link } = await openData(url, 'large')
  const started = performance.now()
  await link.click()
  const isWhole = () =>
    document.querySelectorAll('canvas[data-sight]').length === 12 &&
    [...document.querySelectorAll('.view-note')].every((note) => note.hidden)
  await page.waitForFunction(isWhole, undefined, { timeout: 300_000 })
  const first = Math.round(performance.now() - started)
  // the next ones are read ahead while a reader looks
  await page.waitForLoadState('networkidle')
  await delay(8000)
  const next = []
  for (let at = 1; at < SCANS; at++) {
    next.push(
      await page.evaluate(
        () =>
          new Promise((resolve) => {
            const canvas = document.querySelector('canvas')
            const before = canvas.dataset.sight
            const from = performance.now()
            dispatchEvent(new KeyboardEvent('keydown', { key: 'n' }))
            const look = () => {
              const notes = [...document.querySelectorAll('.view-note')]
              const done = canvas.dataset.sight !== before && notes.every((note) => note.hidden)
              if (done) requestAnimationFrame(() => resolve(Math.round(performance.now() - from)))
              else requestAnimationFrame(look)
            }
            look()
          }),
      ),
    )
    await delay(3000)
  }
  const timed = (key) =>
    page.evaluate(
      (key) =>
        new Promise((resolve) => {
          const from = performance.now()
          dispatchEvent(new KeyboardEvent('keydown', { key }))
          requestAnimationFrame(() =>
            requestAnimationFrame(() => resolve(Math.round(performance.now() - from))),
          )
        }),
      key,
    )
  const figures = { first, next, window: await timed('3'), slice: await timed('.'), zoom: await timed('z') }
  await page.close()
  return figures
}

async function serverMemory(url) {
  const rss = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) / 1024
  const headers = { Authorization: `Bearer ${new URL(url).hash.slice('#token='.length)}` }
  const { origin } = new URL(url)
  const { collections } = await (await fetch(`${origin}/api/collections`, { headers })).json()
  const of = (name) => `${origin}/api/collections/${collections.find((one) => one.name === name).id}`
  const { revision } = await (await fetch(of('large'), { headers })).json()
  let peak = rss()
  const before = peak
  const watch = setInterval(() => {
    peak = Math.max(peak, rss())
  }, 20)
  const client = async () => {
    await (await fetch(of('long'), { headers })).arrayBuffer()
    for (const role of ['host', 'synthetic', 'label']) {
      const answer = await fetch(`${of('large')}/items/0/volumes/${role}?revision=${revision}`, { headers })
      for await (const _ of answer.body);
    }
  }
  await Promise.all(Array.from({ length: Number(values.clients) }, client))
  clearInterval(watch)
  return { clients: Number(values.clients), beforeMb: Math.round(before), peakMb: Math.round(peak) }
}

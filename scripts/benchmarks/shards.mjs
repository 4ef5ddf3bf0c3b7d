#!/usr/bin/env node
/**
 * Time and memory of shards of many cases: plan the job arrays, share the cases of a manifest, and merge the records of a
 * preparation. Prints JSON.
 *
 *     npm run build && node scripts/benchmarks/shards.mjs [--cases 161310] [--shards 1000]
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { planArray } from '../../dist/cluster/array.js'
import { readManifest, writeManifest } from '../../dist/curation/datasets/manifest.js'
import { casesOfShard } from '../../dist/curation/datasets/shard.js'
import { mergePreparation } from '../../dist/pipeline/prepare/run.js'
import { orderOf, readShards } from '../../dist/pipeline/shards.js'

const { values } = parseArgs({
  options: { cases: { type: 'string', default: '161310' }, shards: { type: 'string', default: '1000' } },
})
const [total, wanted] = [Number(values.cases), Number(values.shards)]
const folder = mkdtempSync(join(tmpdir(), 'freetumor-shards-'))
const report = { cases: total, cores: cpus().length }

async function timed(name, work) {
  const started = performance.now()
  const result = await work()
  report[`${name}Seconds`] = Number(((performance.now() - started) / 1000).toFixed(3))
  report[`${name}PeakMb`] = Math.round(process.resourceUsage().maxRSS / 1024)
  return result
}

try {
  const plan = await timed('plan', () =>
    planArray({ cases: total, shards: wanted, atOnce: 50 }, { maxArraySize: 1001, maxSubmitJobs: null }),
  )
  Object.assign(report, { shards: plan.shards, casesPerShard: plan.casesPerShard, arrays: plan.slices })
  const manifest = join(folder, 'manifest.json')
  await writeManifest(manifest, { version: 1, cases: Array.from({ length: total }, (_, at) => caseOf(at)) })
  report.manifestMb = Math.round(statSync(manifest).size / 1e6)
  const { cases } = await timed('readManifest', () => readManifest(manifest))
  const ids = cases.map(({ id }) => id)
  const shards = await timed('share', () =>
    Array.from({ length: plan.shards }, (_, at) => casesOfShard(ids, { index: at + 1, count: plan.shards })),
  )
  const seen = new Set(shards.flat())
  report.eachOnce = seen.size === total && shards.flat().length === total
  writeRecords(shards, ids)
  const merged = await timed('merge', async () => mergePreparation(await readShards(folder)))
  report.merged = merged.cases.length
  report.inOrder = merged.cases.every(({ id }, at) => id === ids[at])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(JSON.stringify(report, null, 2))

function caseOf(at) {
  const id = String(at).padStart(6, '0')
  return {
    id: `many/scan_${id}`,
    dataset: 'many',
    patient: `patient_${id}`,
    region: 'abdomen',
    role: { kind: 'labelled', organs: ['liver', 'pancreas', 'kidney'] },
    image: `/data/many/imagesTr/scan_${id}.nii.gz`,
    label: `/data/many/labelsTr/scan_${id}.nii.gz`,
    fold: at % 5,
    split: 'training',
    labelMap: { 0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6 },
  }
}

function writeRecords(shards, ids) {
  const count = shards.length
  mkdirSync(join(folder, 'shards'))
  const plan = {
    version: 1,
    command: 'prepare',
    count,
    commandLine: 'freetumor prepare',
    settings: { cache: 'c' },
  }
  writeFileSync(join(folder, 'shards/plan.json'), JSON.stringify(plan))
  const order = orderOf(ids)
  for (const [at, mine] of shards.entries()) {
    const place = join(folder, 'shards', `${at + 1}-of-${count}`)
    mkdirSync(place)
    const cases = mine.map((id) => ({
      id,
      path: `/data/cache/0123456789ab/${encodeURIComponent(id)}.zarr`,
      kind: 'labelled',
      repeat: 1,
      heldOut: false,
      content: order,
    }))
    const part = { cases, directory: 'c', prepared: cases.length, reused: 0, bytes: 1, failed: [] }
    const about = { version: 1, index: at + 1, outcome: 'completed', message: null, time: '2026-01-01' }
    writeFileSync(
      join(place, 'record.json'),
      JSON.stringify({ ...about, total: ids.length, order, cases: mine, part }),
    )
  }
}

#!/usr/bin/env node
/**
 * Kill imports at random moments, start them again, and compare them with an uninterrupted one: no partial manifest or
 * merged label map is ever visible, and the resumed manifest equals the uninterrupted one to the byte.
 *
 *     npm run build && node scripts/faults/imports.mjs [--cases 12] [--kills 30] [--seed 0]
 *
 * Uses phantoms: half in imagesTr and labelsTr, half as a folder per case with masks of organs. An import that ends
 * before its kill is compared too, and the next one starts from nothing. Prints JSON; exit code 1 when something was lost.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readNifti } from '../../dist/volume/nifti.js'
import { writeNifti } from '../../dist/volume/nifti-write.js'
import { cli, randomOf, runCampaign } from './campaign.mjs'
import { runKilled } from './killed.mjs'

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '12' },
    kills: { type: 'string', default: '30' },
    seed: { type: 'string', default: '0' },
  },
})
const random = randomOf(values.seed)

const folder = mkdtempSync(join(tmpdir(), 'freetumor-imports-'))
const place = join(folder, 'out')
const manifest = join(place, 'm.json')
const labels = join(place, 'm-labels')
await runCampaign(folder, campaign)

async function campaign() {
  await prepareInputs()
  const { code, milliseconds, firstAfter } = await importAll()
  const expected = contentOf()
  rmSync(place, { recursive: true })
  const wrong = []
  const kills = []
  let completed = 0
  while (kills.length < Number(values.kills)) {
    // in turns anywhere, and while files are measured or written
    const kill =
      kills.length % 2 === 0
        ? { afterMs: random() * milliseconds }
        : { afterFirstMs: random() * (milliseconds - firstAfter) }
    const ended = await importAll(kill)
    const found = contentOf()
    for (const [name, digest] of Object.entries(found))
      if (digest !== expected[name]) wrong.push(`${kills.length}: ${name}`)
    if (ended.code === null) {
      kills.push({
        manifest: found['m.json'] !== undefined,
        labels: Object.keys(found).length,
        measured: measured(),
      })
      continue
    }
    completed++
    if (ended.code !== 0 || JSON.stringify(found) !== JSON.stringify(expected))
      wrong.push(`${kills.length}: end`)
    rmSync(place, { recursive: true })
  }
  const last = (await importAll()).code
  const same = JSON.stringify(contentOf()) === JSON.stringify(expected)
  const leavings = [place, labels]
    .flatMap((path) => readdirSync(path))
    .filter((name) => /tmp|jsonl/.test(name))
  return {
    held: code === 0 && last === 0 && same && wrong.length === 0 && leavings.length === 0,
    files: Object.keys(expected).length,
    kills: kills.length,
    killsWhileMeasuring: kills.filter((one) => one.measured > 0 && !one.manifest).length,
    killsWithSomeLabels: kills.filter((one) => one.labels > 0).length,
    completed,
    wrong,
    leavings,
    same,
    seconds: Math.round(milliseconds / 1000),
    loadAverage: loadavg(),
  }
}

async function prepareInputs() {
  const plain = join(folder, 'data/Plain')
  const phantoms = ['phantom', '--out', plain, '--cases', values.cases, '--size', '64', '--seed', values.seed]
  const made = spawnSync(process.execPath, [cli, ...phantoms], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(made.stderr)
  rmSync(join(plain, 'dataset.json'), { force: true })
  const names = readdirSync(join(plain, 'imagesTr')).sort()
  const organs = {
    liver: [1, 2],
    liver_tumor: [2],
    pancreas: [3, 4],
    pancreas_tumor: [4],
    kidney_left: [5, 6],
  }
  for (const name of names.slice(0, names.length / 2)) {
    const own = join(folder, 'data/Masked', name.replace('.nii.gz', ''))
    mkdirSync(join(own, 'segmentations'), { recursive: true })
    renameSync(join(plain, 'imagesTr', name), join(own, 'ct.nii.gz'))
    const { data, shape, affine } = await readNifti(join(plain, 'labelsTr', name))
    for (const [organ, ids] of Object.entries(organs))
      await writeNifti(join(own, `segmentations/${organ}.nii.gz`), {
        data: data.map((id) => Number(ids.includes(id))),
        shape,
        affine,
      })
    rmSync(join(plain, 'labelsTr', name))
  }
}

/** Do as `runKilled`; its first report is a measured case. */
function importAll(kill = {}) {
  const lists = ['--lists', join(folder, 'data/Plain'), join(folder, 'data/Masked')]
  const meaning = ['--region', 'abdomen', '--map', 'region', '--measure', '--workers', '2']
  const argv = [cli, 'data', 'import', ...lists, ...meaning, '--out', manifest]
  return runKilled(argv, { output: 'stderr', kill })
}

/** Return the hashes of the manifest and of the merged label maps that are visible. */
function contentOf() {
  const found = {}
  if (existsSync(manifest)) found['m.json'] = hashOf(manifest)
  const names = existsSync(labels) ? readdirSync(labels).sort() : []
  for (const name of names) if (/\.(nii\.gz|json)$/.test(name)) found[name] = hashOf(join(labels, name))
  return found
}

function hashOf(path) {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

function measured() {
  const journal = `${manifest}.measures.jsonl`
  return existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').length - 1 : 0
}

#!/usr/bin/env node
/**
 * Kill conversions of DICOM at random moments, start them again, and compare them with an uninterrupted one: no partial
 * file is ever visible under its name, and the resumed folder equals the uninterrupted one to the byte.
 *
 *     npm run build && node scripts/faults/dicom.mjs [--copies 6] [--kills 10] [--seed 0]
 *
 * Uses made series of python_runtime/tests/dicom/made_series.py, two for each copy. Prints JSON; exit code 1 if something was lost.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { python, randomOf, root, runCampaign } from './campaign.mjs'
import { runKilled } from './killed.mjs'

const { values } = parseArgs({
  options: {
    copies: { type: 'string', default: '6' },
    kills: { type: 'string', default: '10' },
    seed: { type: 'string', default: '0' },
  },
})
const random = randomOf(values.seed)

const folder = mkdtempSync(join(tmpdir(), 'freetumor-dicom-'))
const [source, out] = [join(folder, 'in'), join(folder, 'out')]
await runCampaign(folder, campaign)

async function campaign() {
  makeInputs()
  const whole = await convert()
  const expected = contentOf()
  const wrong = whole.code === 0 ? [] : [`the uninterrupted conversion ended with ${whole.code}`]
  let kills = 0
  while (kills < Number(values.kills)) {
    rmSync(out, { recursive: true, force: true })
    for (let start = 0; start < 3 && kills < Number(values.kills); start++) {
      const ended = await convert({ afterMs: random() * whole.milliseconds })
      if (ended.code === null) kills++
      wrong.push(...partialFiles())
    }
    const { code } = await convert()
    if (code !== 0) wrong.push(`the resumed conversion ended with ${code}`)
    if (JSON.stringify(contentOf()) !== JSON.stringify(expected)) wrong.push('the resumed folder differs')
  }
  const held = wrong.length === 0
  return {
    held,
    kills,
    cases: 2 * Number(values.copies),
    secondsWhole: whole.milliseconds / 1000,
    load: loadavg()[0],
    wrong,
  }
}

function makeInputs() {
  const options = { cwd: join(root, 'python_runtime') }
  execFileSync(python, ['-m', 'tests.dicom.made_series', source, 'many', values.copies], options)
}

async function convert(kill = {}) {
  const argv = ['data', 'convert', source, '--out', out, '--all', '--key', join(folder, 'key')]
  return await runKilled([join(root, 'dist/cli/main.js'), ...argv], { output: 'stderr', kill })
}

/** Every case file by name, with its SHA-256; the records and reports differ by what was reused. */
function contentOf() {
  return namesOf().map((name) => [
    name,
    createHash('sha256')
      .update(readFileSync(join(out, name)))
      .digest('hex'),
  ])
}

function partialFiles() {
  return namesOf().flatMap((name) => {
    try {
      return gunzipSync(readFileSync(join(out, name))).length > 352 ? [] : [`${name} is too short`]
    } catch (error) {
      return [`${name}: ${error.message}`]
    }
  })
}

function namesOf() {
  if (!existsSync(out)) return []
  const names = readdirSync(out, { recursive: true, encoding: 'utf8' }).sort()
  return names.filter((name) => name.endsWith('.nii.gz') && statSync(join(out, name)).isFile())
}

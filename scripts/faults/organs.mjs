#!/usr/bin/env node
/**
 * Kill `freetumor organs` at random moments, start it again, and compare it with an uninterrupted call: in the end, every
 * label map and every line of `organs.jsonl` equals that of the uninterrupted call, and no process or temporary file is left.
 *
 *     npm run build && node scripts/faults/organs.mjs [--cases 1000] [--kills 3] [--workers 2] [--seed 0]
 *
 * Uses phantoms, and a stand-in tool that copies the label of a phantom with a hole. Prints JSON; exit code 1 when something was lost.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { cli, python, randomOf, runCampaign } from './campaign.mjs'
import { runKilled } from './killed.mjs'

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000' },
    kills: { type: 'string', default: '3' },
    workers: { type: 'string', default: '2' },
    seed: { type: 'string', default: '0' },
  },
})
const folder = mkdtempSync(join(tmpdir(), 'freetumor-organs-'))
const random = randomOf(values.seed)

/** Label the voxels of 40 to 400 HU as liver: a shell of noise, with holes to fill. */
const TOOL = `
import gzip, struct, sys
with gzip.open(sys.argv[1]) as file:
    content = bytearray(file.read())
shape = struct.unpack_from("<3h", content, 42)
(kind,) = struct.unpack_from("<h", content, 70)
count = shape[0] * shape[1] * shape[2]
values = struct.unpack_from(f"<{count}{'h' if kind == 4 else 'f'}", content, 352)
struct.pack_into("<hh", content, 70, 2, 8)
with gzip.open(sys.argv[2], "wb", 1) as file:
    file.write(bytes(content[:352]) + bytes(40 < value < 400 for value in values))
`

await runCampaign(folder, campaign)

async function campaign() {
  const tool = prepareInputs()
  const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')]
  const first = await organs(tool, whole)
  const expected = resultsOf(whole)
  const kills = []
  for (let kill = 1; kill <= Number(values.kills); kill++) {
    // spread over the work, so that the last kill still finds work to do
    const afterFirstMs =
      ((0.2 + 0.8 * random()) * (first.milliseconds - first.firstAfter)) / (Number(values.kills) + 1)
    const { code } = await organs(tool, broken, { afterFirstMs })
    const made = resultsOf(broken).labels
    const wrong = Object.keys(made).filter((name) => made[name] !== expected.labels[name])
    kills.push({ code, labels: Object.keys(made).length, wrong })
  }
  const last = await organs(tool, broken)
  const results = resultsOf(broken)
  const left = readdirSync(broken).filter((name) => /\.tmp/.test(name))
  const processes = runningTools()
  const same = JSON.stringify(results) === JSON.stringify(expected)
  const killed = kills.every(({ code, wrong }) => code === null && wrong.length === 0)
  return {
    held: first.code === 0 && last.code === 0 && killed && same && left.length + processes.length === 0,
    cases: Object.keys(expected.labels).length,
    exitCodes: [first.code, last.code],
    kills,
    same,
    left,
    processes,
    secondsUninterrupted: Math.round(first.milliseconds / 1000),
    loadAverage: loadavg(),
  }
}

/** Write small scans, and a tool without packages that labels the soft tissue of a scan. */
function prepareInputs() {
  const images = join(folder, 'scans')
  const data = join(folder, 'data')
  const phantoms = ['phantom', '--out', data, '--cases', '20', '--size', '32', '--seed', values.seed]
  const made = spawnSync(process.execPath, [cli, ...phantoms], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(made.stderr)
  mkdirSync(images)
  const scans = readdirSync(join(data, 'imagesTr'))
  for (let n = 0; n < Number(values.cases); n++)
    writeFileSync(
      join(images, `case_${String(n).padStart(5, '0')}.nii.gz`),
      readFileSync(join(data, 'imagesTr', scans[n % scans.length])),
    )
  const tool = join(folder, 'tool.py')
  writeFileSync(tool, TOOL)
  return tool
}

function organs(tool, out, kill) {
  const command = `${python} -I -S ${tool} {image} {output}`
  const argv = [cli, 'organs', '--images', join(folder, 'scans'), '--out', out, '--workers', values.workers]
  return runKilled([...argv, '--with', 'command', command], { output: 'stderr', kill })
}

/** Return the hash of every label map, and the lines of the record without times. */
function resultsOf(out) {
  const hash = (name) =>
    createHash('sha256')
      .update(readFileSync(join(out, name)))
      .digest('hex')
  const names = readdirSync(out).filter((name) => name.endsWith('.nii.gz'))
  const { cases } = JSON.parse(readFileSync(join(out, 'organs.json'), 'utf8'))
  return {
    labels: Object.fromEntries(names.sort().map((name) => [name, hash(name)])),
    lines: cases.map(({ seconds, input, ...line }) => line),
  }
}

function runningTools() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(join(folder, 'tool.py'))
      } catch {
        return false
      }
    })
}

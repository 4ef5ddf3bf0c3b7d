#!/usr/bin/env node
/**
 * Synthesize and predict with plug-ins that behave badly (python_runtime/tests/plugins/hostile.py): each run ends with a
 * typed error, leaves no process, and every synthetic scan equals its host outside the change mask. A killed `freetumor`
 * takes its plug-in along.
 *
 *     npm run build && node scripts/faults/plugins.mjs [--modes 'hang,NaN'] [--seed 0]
 *
 * Uses phantoms. Prints JSON; exit code 1 when something was lost.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { cli, python, root, runCampaign } from './campaign.mjs'

const program = join(root, 'python_runtime/tests/plugins/hostile.py')
const { values } = parseArgs({
  options: { modes: { type: 'string' }, seed: { type: 'string', default: '0' } },
})

/** Counts voxels of synthetic scans that differ from the host where the change mask is 0. */
const COMPARE = `
import sys, nibabel, numpy as np, pathlib
out, hosts = map(pathlib.Path, sys.argv[1:])
lost = files = changed = 0
for scan in sorted((out / "imagesTr").glob("*.nii.gz")):
    host = next(hosts.glob(scan.name.split("_v")[0].split("__")[-1] + "*"))
    after, before = (np.asanyarray(nibabel.load(p).dataobj) for p in (scan, host))
    mask = np.asanyarray(nibabel.load(out / "changeTr" / scan.name).dataobj) > 0
    lost += int((after != before)[~mask].sum()); changed += int((after != before)[mask].sum()); files += 1
print(files, lost, changed)
`
const MODES = `
import json, sys
sys.path.insert(0, sys.argv[1])
from tests.plugins.hostile import MODES
print(json.dumps(MODES))
`

const folder = mkdtempSync(join(tmpdir(), 'freetumor-plugins-'))
await runCampaign(folder, campaign)

async function campaign() {
  const phantom = [
    'phantom',
    '--out',
    join(folder, 'phantom'),
    '--cases',
    '1',
    '--size',
    '64',
    '--seed',
    values.seed,
  ]
  const made = run(phantom)
  if (made.code !== 0) throw new Error(made.text)
  const known = JSON.parse(
    spawnSync(python, ['-c', MODES, join(root, 'python_runtime')], { encoding: 'utf8' }).stdout,
  )
  const wanted = values.modes?.split(',') ?? ['good', ...Object.keys(known), 'killed freetumor']
  const results = []
  for (const mode of wanted)
    results.push(mode === 'killed freetumor' ? await killed() : await tried(mode, known[mode] ?? null))
  return { held: results.every(({ held }) => held), plugins: results.length, results }
}

async function tried(mode, expected) {
  const { directory, record, config } = written(mode)
  const { code, text, seconds } = run(synthesis(config, directory))
  const left = await remaining(record)
  const [files, lost, changed] = compared(directory)
  const isGood = expected === null || mode === 'answers twice'
  // labels are not asked for, and one of two answers is a message without a request only before the next request
  const named = isGood || mode === 'label without output' || text.includes(expected.replaceAll('\\\\', '\\'))
  const ended =
    isGood || mode === 'label without output' ? code === 0 || code === 3 : code === 3 || code === 5
  const stack = / {4}at |Traceback/.test(text)
  const held = named && ended && !stack && lost === 0 && left.length === 0
  return {
    mode,
    held,
    code,
    named,
    seconds,
    files,
    changed,
    changedOutsideMask: lost,
    processesLeft: left.length,
    ...(held ? {} : { text: text.slice(-800) }),
  }
}

/** Kill `freetumor` while its plug-in does not answer. */
async function killed() {
  const { directory, record, config } = written('leaves a grandchild', 600)
  const child = spawn(process.execPath, [cli, ...synthesis(config, directory)], {
    stdio: 'ignore',
    detached: true,
  })
  // the first start is the inspection, the second that of the job
  for (let waited = 0; pids(record).length < 4 && waited < 600; waited++) await setTimeout(200)
  child.kill('SIGKILL')
  const left = await remaining(record)
  return {
    mode: 'killed freetumor',
    held: pids(record).length >= 4 && left.length === 0,
    processesLeft: left.length,
  }
}

function written(mode, requestTimeoutSeconds = 5) {
  const directory = join(folder, mode.replaceAll(' ', '-') + (requestTimeoutSeconds > 5 ? '-killed' : ''))
  mkdirSync(directory)
  const record = join(directory, 'pids')
  const config = join(directory, 'run.json')
  const plugin = { python, command: [program, mode, record], startTimeoutSeconds: 15, requestTimeoutSeconds }
  const document = {
    job: 'segmentation',
    region: 'abdomen',
    name: 'hostile',
    data: { datasets: [{ name: 'BTCV' }] },
    prepare: { cache: join(folder, 'cache') },
    sampling: { patchVoxels: [32, 32, 32] },
    simulation: { texture: { count: 1, sizeVoxels: [64, 64, 64] } },
    networks: { baseline: null, generator: { plugin } },
    runtime: { device: 'cpu', threadsPerProcess: 1 },
  }
  writeFileSync(config, JSON.stringify(document))
  return { directory: join(directory, 'out'), record, config }
}

function synthesis(config, out) {
  const phantom = join(folder, 'phantom')
  return [
    'synthesize',
    '--config',
    config,
    '--images',
    phantom,
    '--out',
    out,
    '--variants',
    '1',
    '--seed',
    values.seed,
  ]
}

function run(argv) {
  const started = performance.now()
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...argv], { encoding: 'utf8' })
  return {
    code: status,
    text: `${stdout}${stderr}`,
    seconds: Math.round((performance.now() - started) / 100) / 10,
  }
}

function compared(out) {
  const hosts = spawnSync('find', [join(folder, 'phantom'), '-type', 'd', '-name', 'imagesTr'], {
    encoding: 'utf8',
  })
  const { stdout } = spawnSync(python, ['-c', COMPARE, out, hosts.stdout.trim().split('\n')[0]], {
    encoding: 'utf8',
  })
  return stdout.trim().split(' ').map(Number)
}

function pids(record) {
  return existsSync(record) ? readFileSync(record, 'utf8').split(/\s+/).filter(Boolean).map(Number) : []
}

/** Return the processes of a plug-in that run 10 s after its end. */
async function remaining(record) {
  for (let waited = 0; ; waited++) {
    const left = pids(record).filter((pid) => {
      try {
        return !/^\S+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
      } catch {
        return false
      }
    })
    if (left.length === 0 || waited === 100) return left
    await setTimeout(100)
  }
}

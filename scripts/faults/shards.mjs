#!/usr/bin/env node
/**
 * Prepare and synthesize phantoms in shards, some of which are killed: one within its start, the others between two cases.
 * A merge must name exactly these and write nothing. After one run of the commands that it names, and merges that are
 * killed, too, all files must equal those of a command without shards, except for times.
 *
 *     npm run build && node scripts/faults/shards.mjs [--commands prepare,synthesize] [--cases 200] [--shards 20] [--kills 2]
 *         [--parallel 2] [--merge-kills 3] [--seed 0]
 *
 * `--parallel`: number of shards at the same time, in one cache and one folder. Prints JSON; exit code 1 if something was
 * lost.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { cli, python, randomOf, root } from './campaign.mjs'

const { values } = parseArgs({
  options: {
    commands: { type: 'string', default: 'prepare,synthesize' },
    cases: { type: 'string', default: '200' },
    shards: { type: 'string', default: '20' },
    kills: { type: 'string', default: '2' },
    parallel: { type: 'string', default: '2' },
    'merge-kills': { type: 'string', default: '3' },
    seed: { type: 'string', default: '0' },
  },
})
const [count, kills] = [Number(values.shards), Number(values.kills)]
const random = randomOf(values.seed)

const folder = mkdtempSync(join(tmpdir(), 'freetumor-shards-'))
const report = {
  ...values,
  machine: { cores: cpus().length, loadAverage: loadavg().map((value) => Number(value.toFixed(1))) },
}
try {
  prepareInputs()
  for (const command of values.commands.split(',')) report[command] = await campaign(command)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(JSON.stringify(report, null, 2))
process.exitCode = Object.values(report).every((part) => part.held !== false) ? 0 : 1

/** Command lines without `--shard`, with all outputs below the folder `out`. */
function argvOf(command, out) {
  const cache = `prepare.cache=${join(out, 'cache')}`
  if (command === 'prepare') return ['prepare', '--config', join(folder, 'config.yaml'), '--set', cache]
  const weights = ['generator', 'baseline'].flatMap((name) => [
    `--${name}`,
    join(folder, `abdomen-${name}.pt`),
  ])
  const made = [
    '--images',
    join(folder, 'hosts'),
    '--region',
    'abdomen',
    '--organs',
    'liver',
    '--out',
    join(out, 'made'),
  ]
  const textures = ['simulation.texture.sizeVoxels=[112,112,112]', 'simulation.texture.count=2']
  const quick = ['synthesize.overlap=0.25', 'evaluation.overlap=0.25', 'synthesize.triesPerTumor=3']
  const rule = 'quality.rules.volumeMl.min=0.5'
  return ['synthesize', ...weights, ...made, '--variants', '1', '--set', cache, rule, ...textures, ...quick]
}

async function campaign(command) {
  const [whole, parted] = ['whole', 'shards'].map((name) => join(folder, command, name))
  for (const out of [whole, parted]) mkdirSync(out, { recursive: true })
  const started = performance.now()
  const unsharded = await run([...argvOf(command, whole), '--output', 'json'])
  const wholeSeconds = (performance.now() - started) / 1000
  const argv = argvOf(command, parted)
  const killed = [...Array(kills).keys()].map((at) => 1 + Math.floor(((at + random()) * count) / kills))
  const beginning = performance.now()
  const ended = await inParallel([...Array(count).keys()], async (at) => {
    const kill = !killed.includes(at + 1)
      ? {}
      : at + 1 === killed[0]
        ? { afterMs: 200 + 4000 * random() }
        : { atFirstCase: true }
    return (await run([...argv, '--shard', `${at + 1}/${count}`], kill)).code
  })
  const shardSeconds = (performance.now() - beginning) / 1000
  const merged = command === 'prepare' ? join(parted, 'cache') : join(parted, 'made')
  const before = filesBelow(parted)
  const refused = await run(['merge', merged])
  const wroteNothing = same(before, filesBelow(parted))
  const named = [...refused.stderr.matchAll(/run `freetumor (.*)`/g)].map(([, line]) => line)
  const again = await inParallel(named, async (line) => (await run(wordsOf(line))).code)
  for (let at = 0; at < Number(values['merge-kills']); at++)
    await run(['merge', merged], { afterMs: 300 + 1500 * random() })
  const last = await run(['merge', merged, '--output', 'json'])
  const once = filesBelow(parted)
  const repeated = await run(['merge', merged, '--output', 'json'])
  const twice = filesBelow(parted)
  const results = [unsharded.stdout, JSON.stringify(JSON.parse(last.stdout || '{}').result ?? {})]
  const [first, second] = results.map((text) => resultOf(command, text))
  const differing = differences(filesBelow(whole), once)
  const facts = {
    seconds: { unsharded: Math.round(wholeSeconds), shards: Math.round(shardSeconds) },
    killed,
    exitCodes: { unsharded: unsharded.code, refusedMerge: refused.code, merge: [last.code, repeated.code] },
    named,
    rerun: again,
    wroteNothing,
    sameResult: same(first, second),
    mergedTwiceTheSame: same(once, twice) && last.stdout === repeated.stdout,
    files: Object.keys(once).length,
    differing,
    litter: Object.keys(once).filter((name) => name.includes('.tmp')),
  }
  const finished = ended.filter((_, at) => !killed.includes(at + 1))
  return {
    ...facts,
    held:
      unsharded.code === 0 &&
      finished.every((code) => code === 0) &&
      ended.filter((code) => code === null).length === kills &&
      refused.code === 3 &&
      wroteNothing &&
      same(
        named.map((line) => Number(/--shard (\d+)/.exec(line)?.[1])),
        killed,
      ) &&
      again.every((code) => code === 0) &&
      last.code === 0 &&
      repeated.code === 0 &&
      facts.sameResult &&
      facts.mergedTwiceTheSame &&
      differing.length === 0 &&
      facts.litter.length === 0,
  }
}

function prepareInputs() {
  const phantoms = ['phantom', '--out', join(folder, 'hosts'), '--cases', values.cases, '--size', '32']
  must(spawnSync(process.execPath, [cli, ...phantoms, '--seed', values.seed], { encoding: 'utf8' }))
  must(
    spawnSync(python, [join(root, 'scripts/faults/debug_weights.py'), folder], {
      encoding: 'utf8',
      env: { ...process.env, PYTHONPATH: join(root, 'python_runtime') },
    }),
  )
  const config = {
    job: 'baseline',
    name: 'shards',
    region: 'abdomen',
    data: { root: folder, datasets: [{ name: 'hosts', role: 'labelled', labelMap: 'region' }] },
    prepare: { workers: 1 },
    networks: { segmentor: { kind: 'small', featureSize: 4, levels: 2 } },
  }
  // JSON is YAML
  writeFileSync(join(folder, 'config.yaml'), JSON.stringify(config))
}

function must({ status, stderr }) {
  if (status !== 0) throw new Error(stderr)
}

/** Run a command in the folder; with a kill, end its process group after a time or at the report of its first case. */
async function run(argv, { afterMs, atFirstCase = false } = {}) {
  const child = spawn(process.execPath, [cli, ...argv], {
    cwd: folder,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  const kill = () => {
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // it has ended
    }
  }
  const timer = afterMs === undefined ? null : setTimeout(kill, afterMs)
  for (const name of ['stdout', 'stderr'])
    child[name].setEncoding('utf8').on('data', (text) => {
      output[name] += text
      if (atFirstCase && name === 'stderr' && /^1\/\d+ /m.test(output.stderr)) kill()
    })
  const code = await new Promise((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  if (code !== 0 && code !== null && code !== 3) process.stderr.write(output.stderr)
  return { code, ...output }
}

async function inParallel(items, work) {
  const results = []
  let next = 0
  const hand = async () => {
    for (let at = next++; at < items.length; at = next++) results[at] = await work(items[at])
  }
  await Promise.all(Array.from({ length: Number(values.parallel) }, hand))
  return results
}

/** Return the words of a command line of a POSIX shell. */
function wordsOf(line) {
  return JSON.parse(
    spawnSync(
      'sh',
      [
        '-c',
        `exec "$0" -e 'console.log(JSON.stringify(process.argv.slice(1)))' -- ${line}`,
        process.execPath,
      ],
      { encoding: 'utf8' },
    ).stdout,
  )
}

/** Return the digest of every file except records of shards and locks, without times and the folder itself. */
function filesBelow(top) {
  const files = {}
  const walk = (place) => {
    for (const entry of existsSync(place) ? readdirSync(place, { withFileTypes: true }) : []) {
      const path = join(place, entry.name)
      if (entry.isDirectory()) {
        if (entry.name !== 'shards' && !entry.name.startsWith('prepare-')) walk(path)
      } else if (!entry.name.endsWith('.lock'))
        files[relative(top, path)] = createHash('sha256').update(contentOf(path, top)).digest('hex')
    }
  }
  walk(top)
  return Object.fromEntries(Object.entries(files).sort())
}

function contentOf(path, top) {
  const content = readFileSync(path)
  if (!/\.(jsonl?|html)$/.test(path) || path.endsWith('zarr.json')) return content
  return content
    .toString('utf8')
    .replaceAll(top, '')
    .replaceAll(/"time":"[^"]*"/g, '')
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d UTC/g, '')
}

/** Return a result without its folder, times and the number of reused cases, which a second start changes. */
function resultOf(command, text) {
  const { schemaVersion, wallSeconds, estimate, prepared, reused, ...result } = JSON.parse(text || '{}')
  const total = command === 'prepare' ? { total: prepared + reused } : {}
  return JSON.parse(JSON.stringify({ ...result, ...total }).replaceAll(/\/[^"]*\/(whole|shards)\//g, ''))
}

function differences(one, other) {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])]
  return names.filter((name) => one[name] !== other[name]).slice(0, 20)
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other)
}

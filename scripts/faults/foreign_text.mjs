// Gives hostile YAML and JSON to the real entry points, each in a process of its own, and counts how they end.
//
//     node scripts/faults/foreign_text.mjs [--count 2000] [--seed 0] [--workers 2]
//
// A text ends well when the entry point returns or throws a typed error within 5 s. Exits with 1 when one does not. The
// processes read many texts one after another; one that crashes or hangs is counted and replaced.
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const LIMIT_MS = 5000

async function campaign() {
  const { values } = parseArgs({
    options: {
      count: { type: 'string', default: '2000' },
      seed: { type: 'string', default: '0' },
      workers: { type: 'string', default: '2' },
    },
  })
  const folder = mkdtempSync(join(tmpdir(), 'freetumor-texts-'))
  const tally = { typed: 0, accepted: 0, untyped: 0, aborts: 0, hangs: 0, slowestMs: 0 }
  const worst = []
  let next = 0
  const work = async () => {
    let child = null
    while (next < Number(values.count)) {
      const at = next++
      const draw = numbers(Number(values.seed) * 1_000_003 + at)
      const { kind, text } = hostileText(draw)
      const file = join(folder, `${at}.txt`)
      writeFileSync(file, text)
      const entry = ENTRIES[draw(ENTRIES.length)]
      child ??= await started()
      const end = await given(child, { file, entry, folder: join(folder, String(at)) })
      if (end.how === 'aborts' || end.how === 'hangs') child = null
      tally[end.how]++
      tally.slowestMs = Math.max(tally.slowestMs, end.ms ?? 0)
      if (!['typed', 'accepted'].includes(end.how))
        worst.push(`${at} ${kind} -> ${entry}: ${end.how} ${end.said}`)
      rmSync(file, { force: true })
    }
    child?.kill('SIGKILL')
  }
  await Promise.all(Array.from({ length: Number(values.workers) }, work))
  rmSync(folder, { recursive: true, force: true })
  for (const line of worst.slice(0, 20)) console.log(line)
  console.log(JSON.stringify({ count: Number(values.count), ...tally }))
  process.exitCode = tally.untyped + tally.aborts + tally.hangs > 0 ? 1 : 0
}

function started() {
  const child = fork(fileURLToPath(import.meta.url), { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
  return new Promise((resolve) => child.once('message', () => resolve(child)))
}

function given(child, task) {
  return new Promise((resolve) => {
    const begun = performance.now()
    const done = (end) => {
      clearTimeout(timer)
      child.removeAllListeners()
      resolve({ ms: performance.now() - begun, ...end })
    }
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      done({ how: 'hangs', said: `more than ${LIMIT_MS} ms` })
    }, LIMIT_MS)
    child.once('message', done)
    child.once('exit', (code, signal) => done({ how: 'aborts', said: String(signal ?? code) }))
    child.send(task)
  })
}

const ENTRIES = [
  'config',
  'set',
  'resolved',
  'list',
  'manifest',
  'lines',
  'numbers',
  'positions',
  'checkpoint',
  'exit',
  'audit',
  'command',
]

async function serve() {
  const { FreetumorError } = await import('../../dist/errors.js')
  const { copyFileSync, mkdirSync, readFileSync } = await import('node:fs')
  const load = await import('../../dist/config/load.js')
  const lists = await import('../../dist/config/lists.js')
  const { resolveConfig } = await import('../../dist/config/resolve.js')
  const { readList } = await import('../../dist/curation/datasets/lists.js')
  const { readManifest } = await import('../../dist/curation/datasets/manifest.js')
  const { readJsonLog, openJsonLog } = await import('../../dist/jsonl.js')
  const checkpoints = await import('../../dist/training/checkpoints.js')
  const { readExit } = await import('../../dist/training/run-directory.js')
  const { readSavedAudit } = await import('../../dist/pipeline/prepare/audit.js')
  const { parseForeignJson } = await import('../../dist/foreign-text.js')
  const beside = (file, folder, ...name) => {
    const target = join(folder, ...name)
    mkdirSync(join(target, '..'), { recursive: true })
    copyFileSync(file, target)
    return target
  }
  const act = {
    config: (file, folder) => load.loadConfig(beside(file, folder, 'run.yaml')),
    set: (file) => load.withOverrides({ training: {} }, [`training.steps=${readFileSync(file, 'latin1')}`]),
    resolved: (file) =>
      resolveConfig(load.withOverrides({ job: 'baseline' }, [`data=${readFileSync(file, 'latin1')}`])),
    list: (file, folder) => readList(beside(file, folder, 'dataset.json')),
    manifest: (file) => readManifest(file),
    lines: async (file, folder) => {
      for await (const line of readJsonLog(file)) void line
      await (await openJsonLog(beside(file, folder, 'events.jsonl'))).close()
    },
    numbers: (file) => lists.readNumbers(file),
    positions: (file) => lists.readPositions(file),
    checkpoint: async (file, folder) => {
      beside(file, folder, 'checkpoints', 'step_00000001', 'manifest.json')
      await checkpoints.latestCheckpoint(folder)
      await checkpoints.openNewestGood(folder, () => {})
    },
    exit: (file, folder) => readExit(join(beside(file, folder, 'exit.json'), '..')),
    audit: (file, folder) => readSavedAudit(join(beside(file, folder, 'audit.json'), '..')),
    command: (file) => parseForeignJson(readFileSync(file, 'latin1'), 'command'),
  }
  process.on('message', async ({ file, entry, folder }) => {
    let end
    try {
      await act[entry](file, folder)
      end = { how: 'accepted', said: '' }
    } catch (error) {
      end = {
        how: error instanceof FreetumorError ? 'typed' : 'untyped',
        said: String(error?.message ?? error).slice(0, 200),
      }
    }
    if ({}.polluted !== undefined) end = { how: 'untyped', said: 'a prototype was reached' }
    rmSync(folder, { recursive: true, force: true })
    process.send(end)
  })
  process.send('ready')
}

/** One text of a kind, its size drawn on a logarithmic scale. */
function hostileText(draw) {
  const names = Object.keys(KINDS)
  const kind = names[draw(names.length)]
  const size = Math.floor(10 * 10 ** ((draw(1000) / 1000) * 4.7))
  return { kind: `${kind} x ${size}`, text: KINDS[kind](size, draw) }
}

const list = (size, line) => Array.from({ length: size }, (_, at) => line(at)).join('')
const KINDS = {
  'open lists': (n) => '['.repeat(n),
  'closed lists': (n) => '['.repeat(n) + ']'.repeat(n),
  'open objects': (n) => '{"a":'.repeat(n),
  'closed objects': (n) => `${'{"a":'.repeat(n)}1${'}'.repeat(n)}`,
  'explicit keys': (n) => `${'? '.repeat(n)}a`,
  dashes: (n) => `${'- '.repeat(n)}a`,
  'flow maps': (n) => '{a: '.repeat(n),
  indentation: (n) => list(Math.min(n, 900), (at) => `${' '.repeat(at)}a:\n`),
  'brackets in comments': (n) => `# ${'['.repeat(n)}\njob: baseline\n`,
  'brackets in texts': (n) => `{"a": "${'[{'.repeat(n)}"}`,
  'brackets behind a quote': (n) => `{"a": "\\"${'['.repeat(n)}"}`,
  laughs: (n) => list(Math.min(n, 200), (at) => `a${at}: &a${at} [${at ? `*a${at - 1}, `.repeat(9) : 1}]\n`),
  aliases: (n) => `a: &x [1]\nb: [${'*x, '.repeat(n)}]`,
  cycles: () => 'data: &x {datasets: [*x], a: *x}\njob: baseline\n',
  'merge keys': (n) => `a: &x {b: 1}\n${list(n, (at) => `c${at}: {<<: *x}\n`)}`,
  anchors: (n) => `a: ${'&x '.repeat(n)}b`,
  tags: (n) => `a: ${'!!str '.repeat(n)}b`,
  'odd tags': (_, draw) =>
    `a: !!${['set', 'omap', 'binary', 'python/object:os.system', 'js/function'][draw(5)]} {b}`,
  documents: (n) => '---\na\n'.repeat(n),
  'long texts': (n) => `{"a": "${'x'.repeat(n * 10)}"}`,
  'long numbers': (n) => `{"a": ${'9'.repeat(n)}}`,
  'long exponents': (n) => `a: 1e${'9'.repeat(n)}`,
  'keys that come twice': (n) => 'a: 1\n'.repeat(n),
  'many keys': (n) => list(n, (at) => `k${at}: 1\n`),
  'many JSON keys': (n) => `{${list(n, (at) => `"k${at}": 1,`)}"z": 1}`,
  commas: (n) => `[${','.repeat(n)}]`,
  values: (n) => `[${'[],'.repeat(n)}1]`,
  closings: (n) => ']'.repeat(n),
  quotes: (n) => '"\n'.repeat(n),
  'backslash quotes': (n) => '"\\'.repeat(n),
  'odd keys': (n) => `{${list(n, (at) => `[${at}]: 1,`)}}`,
  prototypes: () => '{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}',
  'escaped prototypes': () =>
    '{"\\u005f_proto__": {"polluted": 1}, "training": [{"__proto__": {"polluted": 1}}]}',
  'block prototypes': () => '__proto__:\n  polluted: 1\nconstructor:\n  prototype:\n    polluted: 1\n',
  'a byte order mark': () => '\ufeff{"training": []}',
  'zero characters': (n) => '\0'.repeat(n),
  'an escaped zero': () => '{"training": [{"image": "a\\u0000b", "label": "c"}], "a": "\\0"}',
  'random bytes': (n, draw) => Buffer.from(Array.from({ length: Math.min(n, 20_000) }, () => draw(256))),
  'another encoding': (n) => Buffer.from('{"training": []}'.repeat(Math.min(n, 100)), 'utf16le'),
  'a list of odd cases': (n, draw) =>
    JSON.stringify({
      training: list(1, () => '') || Array.from({ length: Math.min(n, 50) }, () => ODD[draw(ODD.length)]),
    }),
  'a manifest of odd cases': (n, draw) =>
    JSON.stringify({
      version: 1,
      cases: Array.from({ length: Math.min(n, 50) }, () => ODD[draw(ODD.length)]),
    }),
  'a configuration of odd values': (_, draw) =>
    `${list(
      6,
      () =>
        `${['job', 'data', 'training', 'networks', 'simulation', 'quality'][draw(6)]}${draw(9)}: ${JSON.stringify(ODD[draw(ODD.length)])}\n`,
    )}data: ${JSON.stringify(ODD[draw(ODD.length)])}\njob: baseline\n`,
}
const ODD = [
  null,
  1,
  -1,
  1e308,
  '',
  'constructor',
  '/dev/zero',
  '../..',
  [],
  {},
  [[]],
  { image: {} },
  { image: '/', label: [] },
  { id: 'x' },
  true,
]

function numbers(seed) {
  let state = (seed ^ 0x9e3779b9) >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

if (process.send) await serve()
else await campaign()

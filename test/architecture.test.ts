import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { packageRoot, resolvePython } from '../src/runtime/python.js'
import {
  exportedNames,
  importCycles,
  importedFile,
  importedPackage,
  pythonImports,
  sourceFiles,
  typescriptImports,
} from './helpers/source-files.js'
import { temporaryFolder } from './helpers/temporary.js'

const SRC = join(packageRoot, 'src')
const RUNTIME = join(packageRoot, 'python_runtime/freetumor_runtime')
const files = sourceFiles(SRC, '.ts').filter((file) => !file.path.startsWith('generated/'))

interface Room {
  /** Rooms, or single files of them, that may be imported. */
  readonly uses: readonly string[]
  /** Those of which only types may be imported. */
  readonly types?: readonly string[]
}

/** Files of src/ itself that every room may use. */
const COMMON = [
  'abort.ts',
  'errors.ts',
  'foreign-text.ts',
  'jsonl.ts',
  'plain-text.ts',
  'stop-signals.ts',
  'suggestion.ts',
  'system-errors.ts',
  'threads.ts',
  'usable-processors.ts',
  'whole-file.ts',
]
const DOMAIN = ['curation', 'simulation', 'quality', 'training', 'evaluation', 'provenance'] as const
const ALL_BELOW_PIPELINE = [
  'volume',
  'config',
  ...DOMAIN,
  'phantom',
  'sampling',
  'readers',
  'report',
  'cluster',
  'tracking',
]

/** Folders of pipeline/: a stage may import those before it. */
const STAGES = [
  'checkpoint',
  'report',
  'runs',
  'prepare',
  'data',
  'plan',
  'train',
  'launch',
  'synthesize',
  'predict',
  'organs',
  'evaluate',
  'realism',
  'serve',
  'submit',
  'export',
  'cards',
  'readers',
].map((stage) => `pipeline/${stage}`)
const ALL_OF_PIPELINE = ['pipeline', 'pipeline/ports', ...STAGES, 'pipeline/flows']

/** Who may import whom. A room may always import itself; `pipeline` is the files that lie in pipeline/ itself. */
const ROOMS: Readonly<Record<string, Room>> = {
  volume: { uses: [] },
  config: { uses: [], types: ['generated/config-input.ts'] },
  ...Object.fromEntries(DOMAIN.map((room) => [room, { uses: ['volume'], types: ['config'] }])),
  sampling: { uses: ['volume', ...DOMAIN], types: ['config'] },
  // a study of people who distinguish real from synthetic tumors
  readers: { uses: ['volume', 'evaluation', 'simulation/random.ts'] },
  report: { uses: [], types: ['training/events.ts', 'quality', 'readers'] },
  phantom: { uses: ['volume'] },
  cluster: { uses: [], types: ['config'] },
  tracking: { uses: ['training'], types: ['config'] },
  'pipeline/ports': { uses: [], types: ['volume', 'config', ...DOMAIN, 'sampling', 'cluster', 'tracking'] },
  pipeline: { uses: ALL_BELOW_PIPELINE, types: ['pipeline/ports'] },
  ...Object.fromEntries(
    [...STAGES, 'pipeline/flows'].map((stage, at) => [
      stage,
      { uses: [...ALL_BELOW_PIPELINE, 'pipeline', ...STAGES.slice(0, at)], types: ['pipeline/ports'] },
    ]),
  ),
  transport: { uses: ['generated'] },
  runtime: {
    uses: ['transport', 'generated', 'cluster'],
    types: ['pipeline/ports', 'volume', 'config', ...DOMAIN, 'sampling', 'tracking'],
  },
  studio: {
    uses: [
      'volume',
      'config',
      ...DOMAIN,
      'readers',
      'report',
      'pipeline',
      'pipeline/runs',
      'pipeline/report/tumor-pictures.ts',
    ],
    types: ['pipeline/ports'],
  },
  // an agent uses the library as a script does
  mcp: { uses: ['config', 'pipeline', 'index.ts'] },
  cli: { uses: [...ALL_BELOW_PIPELINE, ...ALL_OF_PIPELINE, 'runtime', 'transport', 'studio', 'mcp'] },
  'calls.ts': { uses: [...ALL_BELOW_PIPELINE, ...ALL_OF_PIPELINE, 'runtime'] },
  'index.ts': {
    uses: [...ALL_BELOW_PIPELINE, ...ALL_OF_PIPELINE, 'runtime', 'studio', 'calls.ts'],
    types: ['generated/config-input.ts'],
  },
  'abort.ts': { uses: [] },
  'errors.ts': { uses: [] },
  'foreign-text.ts': { uses: [] },
  'plain-text.ts': { uses: [] },
  'jsonl.ts': { uses: [] },
  'stop-signals.ts': { uses: [] },
  'suggestion.ts': { uses: [] },
  'system-errors.ts': { uses: [] },
  'threads.ts': { uses: [] },
  'usable-processors.ts': { uses: [] },
  'whole-file.ts': { uses: [] },
}

/** Where each package may be imported, types included: one room owns each foreign boundary. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  '@grpc/grpc-js': ['transport'],
  zeromq: ['transport'],
  pythonia: ['runtime/pythonia.ts'],
  commander: ['cli'],
  'nifti-reader-js': ['volume'],
  yaml: ['config', 'cluster', 'mcp'],
  '@modelcontextprotocol/server': ['mcp'],
  hono: ['studio'],
  '@hono/node-server': ['studio'],
  uplot: ['studio'],
  zod: ['config', 'runtime', 'curation', 'evaluation', 'quality', 'provenance', 'readers', 'studio', 'mcp'],
}

const roomOf = (path: string): string =>
  /^pipeline\/[^/]+(?=\/)/.exec(path)?.[0] ?? (path.includes('/') ? path.slice(0, path.indexOf('/')) : path)
const within = (path: string, places: readonly string[]): boolean =>
  places.some((place) => path === place || roomOf(path) === place)

describe('src/', () => {
  test('has only rooms that the import table knows', () => {
    expect(files.map((file) => roomOf(file.path)).filter((room) => !(room in ROOMS))).toEqual([])
  })

  test('rooms import each other only as the table lists', () => {
    const wrong = files.flatMap((file) =>
      typescriptImports(file.text).flatMap(({ specifier, typeOnly }) => {
        const target = importedFile(file.path, specifier)
        if (target === undefined || roomOf(target) === roomOf(file.path) || COMMON.includes(target)) return []
        const { uses, types = [] } = ROOMS[roomOf(file.path)] ?? { uses: [] }
        if (within(target, uses) || (typeOnly && within(target, types))) return []
        const onlyTypes = within(target, types) ? ' (types only are allowed)' : ''
        return [`${file.path} imports ${target}${onlyTypes}`]
      }),
    )
    expect(wrong).toEqual([])
  })

  test('has no file that imports itself through others, types included', () => {
    expect(importCycles(files)).toEqual([])
  })

  test('has only types in the ports', () => {
    const ports = files.filter(({ path }) => path.startsWith('pipeline/ports/'))
    expect(ports.length).toBeGreaterThan(0)
    const code = ports.filter(({ text }) =>
      /^(?:export )?(?:async |abstract )?(?:const|let|function|class|enum)\b/m.test(text),
    )
    expect(code.map(({ path }) => path)).toEqual([])
  })

  test('resolves a whole configuration only where it is the one of a user', () => {
    // a stage that trains nothing takes sections of it: config/resolve-sections.ts
    const places = [
      'config',
      'pipeline/train',
      'pipeline/submit',
      'pipeline/flows',
      'mcp',
      'calls.ts',
      'index.ts',
    ]
    const resolving = /^(?:import|export)\b[^'";]*\b(?:resolveConfig|defaultsFor)\b[^'";]*\bfrom\b/m
    const found = files.filter(({ text }) => resolving.test(text)).map(({ path }) => path)
    expect(found).toContain('index.ts')
    expect(found.filter((path) => !within(path, places))).toEqual([])
  })

  test('passes a whole configuration to trainings, their plans and the flows only', () => {
    // calls.ts and index.ts: their functions take the configuration of a user and pass on the sections of a stage
    const places = [
      'config',
      'pipeline/plan',
      'pipeline/train',
      'pipeline/submit',
      'pipeline/flows',
      'mcp',
      'calls.ts',
      'index.ts',
    ]
    const taking = files.filter(({ text }) => /[:|]\s*RunConfig\b(?!\[)/.test(text)).map(({ path }) => path)
    expect(taking).toContain('pipeline/train/run.ts')
    expect(taking.filter((path) => !within(path, places))).toEqual([])
  })

  test('builds what crosses to Python in the spec.ts of each stage only', () => {
    const jobs = /\bjob: '(?:prepare|predict|evaluate|picture|synthesize|serve)'/
    const stages = files.filter(({ path }) => path.startsWith('pipeline/') && !path.includes('/ports/'))
    const building = stages.filter(({ text }) => jobs.test(text)).map(({ path }) => path)
    expect(building).toEqual(
      ['evaluate', 'predict', 'prepare', 'serve', 'synthesize'].map((stage) => `pipeline/${stage}/spec.ts`),
    )
  })

  test('exports each name from one file only; a re-export is no second one', () => {
    const places = new Map<string, string[]>()
    for (const { path, text } of files)
      for (const name of exportedNames(text)) places.set(name, [...(places.get(name) ?? []), path])
    expect([...places].filter(([, paths]) => paths.length > 1)).toEqual([])
  })

  test('imports a foreign package only where its boundary is', () => {
    const wrong = files.flatMap((file) =>
      typescriptImports(file.text).flatMap(({ specifier }) => {
        const name = importedPackage(specifier)
        return name === undefined || within(file.path, PACKAGES[name] ?? [])
          ? []
          : [`${file.path} imports ${name}`]
      }),
    )
    expect(wrong).toEqual([])
  })

  test('uses every package that it depends on', () => {
    const manifest = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'))
    const imported = sourceFiles(SRC, '.ts').flatMap((file) => typescriptImports(file.text))
    const used = new Set(imported.map(({ specifier }) => importedPackage(specifier)))
    // index.d.ts refers to Node's types; a program that has none of its own gets them with the package
    const referred = sourceFiles(SRC, '.ts').flatMap(({ text }) =>
      [...text.matchAll(/^\/\/\/ <reference types="(\w+)"/gm)].map(([, name]) => `@types/${name}`),
    )
    const known = [...used, ...referred]
    expect(Object.keys(manifest.dependencies).filter((name) => !known.includes(name))).toEqual([])
  })

  test('has no barrel but index.ts, no file above 400 lines, and kebab-case names', () => {
    expect(files.map((file) => file.path).filter((path) => path.endsWith('/index.ts'))).toEqual([])
    // index.ts is one list of exports
    const long = files
      .filter(({ path, text }) => path !== 'index.ts' && text.split('\n').length > 401)
      .map(({ path }) => path)
    expect(long).toEqual([])
    expect(
      files.map((file) => file.path).filter((path) => !/^([a-z\d]+[-/])*[a-z\d]+\.ts$/.test(path)),
    ).toEqual([])
  })

  test('quotes paths in the commands of hints', () => {
    const commands = /\\`(?:freetumor|npx|chmod) [^`]*?\$\{([^}]*)\}/g
    // neither is a path
    const words = ['sectionOf(parsed.error.issues)', 'freetumor']
    const found = files.flatMap(({ path, text }) =>
      [...text.matchAll(commands)]
        .filter(([, value]) => !value!.startsWith('quoted(') && !words.includes(value!))
        .map(([command]) => `${path}: ${command}`),
    )
    expect(found).toEqual([])
  })

  test('listens to abort signals in abort.ts only', () => {
    const others = files.filter(
      ({ path, text }) =>
        path !== 'abort.ts' && /EventListener\('abort'|addAbortListener|AbortSignal\.any\(/.test(text),
    )
    expect(others.map(({ path }) => path)).toEqual([])
  })

  test('creates folders and their parents in whole-file.ts only', () => {
    // Node's recursive mkdir never ends in /proc
    const experiments = sourceFiles(join(packageRoot, 'scripts/experiments'), '.ts')
    expect(experiments.length).toBeGreaterThan(0)
    const others = [...files, ...experiments].filter(({ text }) =>
      /mkdir(Sync)?\(([^()]|\([^()]*\))*recursive/.test(text),
    )
    expect(others.map(({ path }) => path)).toEqual([])
  })

  test('uses no random number without a seed', () => {
    expect(files.filter((file) => file.text.includes('Math.random')).map((file) => file.path)).toEqual([])
  })
})

/** The same for the Python package. `BASE` may be used by all. */
const BASE = ['errors', 'events', 'foreign_text', 'system_errors']
const PYTHON_ROOMS: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  events: [],
  foreign_text: [],
  system_errors: [],
  config: [],
  models: [],
  checkpoints: ['models'],
  data: ['config'],
  inference: ['config', 'models', 'checkpoints', 'data', 'plugins'],
  evaluation: ['config', 'data'],
  realism: ['config', 'models', 'checkpoints', 'data', 'evaluation'],
  synthesis: ['config', 'models', 'checkpoints', 'data', 'inference', 'plugins'],
  training: ['config', 'models', 'checkpoints', 'data', 'inference', 'evaluation', 'synthesis'],
  plugins: ['config'],
  case_pool: [],
  // a process of its own, in an optional part of the runtime
  dicom: ['bridge'],
  wandb_run: [],
  jobs: [
    'config',
    'models',
    'checkpoints',
    'data',
    'inference',
    'evaluation',
    'synthesis',
    'training',
    'plugins',
    'realism',
    'case_pool',
  ],
  bridge: ['generated', 'config'],
  feeds: ['bridge', 'generated', 'data'],
  wiring: ['bridge', 'generated', 'training', 'feeds'],
  pythonia_entry: [],
  launcher: ['bridge'],
  // its ranks join as those of a job
  doctor: ['bridge', 'training'],
  __main__: ['bridge', 'config', 'jobs', 'training', 'wiring'],
  __init__: [],
}

const COMPUTING = [
  'models',
  'checkpoints',
  'data',
  'inference',
  'evaluation',
  'realism',
  'synthesis',
  'training',
  'jobs',
]
/** Where each foreign package may be imported; what is not named here belongs to Python itself. */
const PYTHON_PACKAGES: Readonly<Record<string, readonly string[]>> = {
  // the launcher is torchrun
  torch: [...COMPUTING, 'bridge', 'doctor', 'pythonia_entry', 'launcher'],
  monai: COMPUTING,
  numpy: [...COMPUTING, 'plugins', 'bridge', 'dicom'],
  scipy: COMPUTING,
  dynamic_network_architectures: COMPUTING,
  einops: COMPUTING,
  safetensors: COMPUTING,
  nibabel: ['data', 'dicom'],
  pydicom: ['dicom'],
  dcm2niix: ['dicom'],
  highdicom: ['dicom'],
  zarr: ['data'],
  numcodecs: ['data'],
  google_crc32c: ['data'],
  tensorboard: ['training'],
  wandb: ['wandb_run'],
  grpc: ['bridge'],
  zmq: ['bridge'],
  google: ['bridge'],
}

describe('python_runtime/', () => {
  const modules = sourceFiles(RUNTIME, '.py').filter((file) => !file.path.startsWith('generated/'))
  const pythonRoomOf = (path: string): string => roomOf(path).replace(/\.py$/, '')

  test('has only parts that the import table knows', () => {
    const parts = modules.map((file) => pythonRoomOf(file.path))
    expect(parts.filter((part) => !(part in PYTHON_ROOMS))).toEqual([])
  })

  test('its parts import each other only as the table lists', () => {
    const wrong = modules.flatMap((file) => {
      const room = pythonRoomOf(file.path)
      const own = pythonImports(file.text).filter((name) => name.startsWith('freetumor_runtime.'))
      const targets = own.map((name) => name.split('.')[1]!)
      const allowed = [room, ...BASE, ...(PYTHON_ROOMS[room] ?? [])]
      return targets
        .filter((target) => !allowed.includes(target))
        .map((target) => `${file.path} imports ${target}`)
    })
    expect(wrong).toEqual([])
  })

  test('imports a foreign package only where it belongs', () => {
    const standard = execFileSync(resolvePython(), ['-c', 'import sys; print(*sys.stdlib_module_names)'], {
      encoding: 'utf8',
    }).split(/\s+/)
    const known = new Set([...standard, 'freetumor_runtime'])
    const wrong = modules.flatMap((file) => {
      const names = [...new Set(pythonImports(file.text).map((name) => name.split('.')[0]!))]
      const foreign = names.filter((name) => !known.has(name))
      const misplaced = foreign.filter(
        (name) => !(PYTHON_PACKAGES[name] ?? []).includes(pythonRoomOf(file.path)),
      )
      return misplaced.map((name) => `${file.path} imports ${name}`)
    })
    expect(wrong).toEqual([])
  })

  test('gives a job no socket: it takes iterables and yields results', () => {
    const jobs = modules.filter((file) => file.path.startsWith('jobs/'))
    expect(jobs.length).toBeGreaterThan(0)
    expect(
      jobs.filter((file) => pythonImports(file.text).includes('socket')).map((file) => file.path),
    ).toEqual([])
  })

  test('starts from a __main__ of at most 80 lines', () => {
    const main = readFileSync(join(RUNTIME, '__main__.py'), 'utf8')
    expect(main.trimEnd().split('\n').length).toBeLessThanOrEqual(80)
  })

  test('draws no number from a global generator', () => {
    const globals =
      /\b(?:np|numpy)\.random\.(?!Generator|Philox|SeedSequence|default_rng)|^\s*import random\b/m
    expect(modules.filter((file) => globals.test(file.text)).map((file) => file.path)).toEqual([])
  })
})

test('the generated code matches proto/', () => {
  const fresh = temporaryFolder()
  execFileSync(join(packageRoot, 'scripts/generate'), ['--into', fresh], {
    env: { ...process.env, FREETUMOR_PYTHON: resolvePython() },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  expect(contents(join(SRC, 'generated/freetumor'))).toEqual(contents(join(fresh, 'ts/freetumor')))
  expect(contents(join(RUNTIME, 'generated'))).toEqual(contents(join(fresh, 'python')))
})

test('the generated type and page of the configuration match its keys', () => {
  const fresh = temporaryFolder()
  const argv = [join(packageRoot, 'scripts/generate-config.mjs'), '--into', fresh]
  execFileSync(process.execPath, argv, { stdio: ['ignore', 'ignore', 'inherit'] })
  for (const file of ['src/generated/config-input.ts', 'docs/configuration.md'])
    expect(readFileSync(join(packageRoot, file), 'utf8')).toEqual(readFileSync(join(fresh, file), 'utf8'))
})

/** Generated files by path; the package's own empty `__init__.py` is not generated. */
function contents(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  const found = entries.filter((entry) => entry.isFile() && !/^__init__\.py$|\.pyc$/.test(entry.name))
  const paths = found.map((entry) => join(entry.parentPath, entry.name)).sort()
  return Object.fromEntries(paths.map((path) => [path.slice(folder.length), readFileSync(path, 'utf8')]))
}

test('takes no file path from the pathname of a URL, which escapes spaces and "%"', () => {
  const found = files.filter(({ path }) => readFileSync(join(SRC, path), 'utf8').includes('.pathname'))
  expect(found.map(({ path }) => path)).toEqual([])
})

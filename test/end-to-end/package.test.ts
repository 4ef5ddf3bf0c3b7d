import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { temporaryFolder } from '../helpers/temporary.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const python = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')
const execute = promisify(execFile)

/** What a user would write, on phantoms: types are those of the package. */
const SCRIPT = `
import {
  FreetumorError, curate, defineConfig, evaluate, launch, loadConfig, openRuntime, predict, prepare, simulateTumor, synthesize, train,
} from 'freetumor'

const missing = Object.entries({ curate, evaluate, launch, loadConfig, openRuntime, predict, prepare, simulateTumor, synthesize })
  .flatMap(([name, one]) => (typeof one === 'function' ? [] : [name]))

const config = defineConfig({
  job: 'baseline',
  data: {
    root: 'phantoms',
    phantoms: { labelledCases: 2, validationCases: 0, hostCases: 0, testCases: 0, sizeVoxels: 48, seed: 1 },
    datasets: [{ name: 'phantom_labelled' }],
  },
  sampling: { patchVoxels: [32, 32, 32], cropsPerVolume: 2, itemsPerStep: 1 },
  networks: { segmentor: { kind: 'small', featureSize: 4, levels: 2 } },
  training: { steps: 3 },
  runtime: { device: 'cpu' },
})
const run = train(config, { out: 'run' })
const seen = []
for await (const event of run) if (event.type === 'step') seen.push(event.step)
const { outcome, checkpoint } = await run.result
const refused = (() => { try { train({ ...config, trainig: 1 }) } catch (error) { return error } })()
console.log(JSON.stringify({ missing, seen, outcome, checkpoint, refused: refused instanceof FreetumorError && refused.message }))
`

describe('the packed package', () => {
  it('installed in an empty project, sets itself up and trains from a script', async () => {
    const project = temporaryFolder()
    const environment = { ...process.env, FREETUMOR_PYTHON: undefined, npm_config_loglevel: 'error' }
    const run = (command: string, args: readonly string[]): Promise<{ stdout: string }> =>
      execute(command, args, { cwd: project, env: environment, maxBuffer: 64 << 20 })

    const { stdout: packed } = await execute(
      'npm',
      ['pack', '--ignore-scripts', '--json', '--pack-destination', project],
      { cwd: root },
    )
    const [{ filename, files }] = JSON.parse(packed)
    const names = files.map((file: { path: string }) => file.path)
    expect(names).toContain('python_runtime/freetumor_runtime/__main__.py')
    expect(names).toContain('python_runtime/requirements.txt')
    expect(names.filter((name: string) => /__pycache__|\.pyc$|^test|^src/.test(name))).toEqual([])

    const overrides = await lockedVersions()
    await writeFile(
      join(project, 'package.json'),
      JSON.stringify({ type: 'module', private: true, overrides }),
    )
    // the packages of the lock file are in npm's cache from the install of this checkout; what it says of them may not be
    await run('npm', [
      'install',
      '--prefer-offline',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      `./${filename}`,
    ])
    const { stdout: setup } = await run('npx', ['freetumor', 'setup', '--python', python, '--output', 'json'])
    expect(JSON.parse(setup).action).toBe('adopted')

    // the schema that a written configuration names is the one that the package exports
    await run('npx', ['freetumor', 'init', '--job', 'baseline'])
    const written = await readFile(join(project, 'abdomen-baseline.yaml'), 'utf8')
    expect(written).toMatch(
      /^# yaml-language-server: \$schema=node_modules\/freetumor\/dist\/config\.schema\.json\n/,
    )
    const print = "console.log(import.meta.resolve('freetumor/config.schema.json'))"
    const exported = await run(process.execPath, ['--input-type=module', '--eval', print])
    expect(fileURLToPath(exported.stdout.trim())).toBe(
      join(project, 'node_modules/freetumor/dist/config.schema.json'),
    )

    await writeFile(join(project, 'train.mjs'), SCRIPT)
    const { stdout } = await run(process.execPath, ['train.mjs'])
    const told = JSON.parse(stdout.trim().split('\n').at(-1)!)
    expect(told.missing).toEqual([])
    expect(told.seen).toEqual([0, 1, 2])
    expect(told.outcome).toBe('completed')
    expect(told.refused).toContain('unknown key trainig (did you mean training?)')
    expect(await readFile(join(told.checkpoint, 'manifest.json'), 'utf8')).toContain('sha256')
    expect(JSON.parse(await readFile(join(project, 'run', 'exit.json'), 'utf8'))).toMatchObject({
      outcome: 'completed',
      exitCode: 0,
    })
  })
})

async function lockedVersions(): Promise<Record<string, string>> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'))
  const packages = Object.entries(lock.packages as Record<string, { version: string; dev?: boolean }>)
  const top = packages.filter(([path, { dev }]) => /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) && !dev)
  return Object.fromEntries(top.map(([path, { version }]) => [path.slice('node_modules/'.length), version]))
}

import { spawn } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { packageRoot, resolvePython } from '../../src/runtime/python.js'
import { keptFolder } from '../helpers/temporary.js'
import { type Block, blocksIn, pages } from './pages.js'
import { makeWorld } from './world.js'

const root = keptFolder()
const first = join(root, 'first')

beforeAll(async () => {
  if (!existsSync(join(packageRoot, 'dist/cli/start.js'))) throw new Error('dist is missing: npm run build')
  await makeWorld(first)
})

/** Runs a program in a world; resolves with its output, rejects unless it exits with 0. */
async function run(world: string, program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, {
    cwd: world,
    env: {
      ...process.env,
      PATH: `${join(world, 'bin')}:${process.env.PATH}`,
      FREETUMOR_PYTHON: resolvePython(),
      NO_COLOR: '1',
      OMP_NUM_THREADS: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`exit ${code}\n${output}`)
  return output
}

/** Ends trainings that a failed page has left; their jobs end with them. */
function endTrainings(world: string): void {
  const runs = join(world, 'runs')
  const files = existsSync(runs) ? readdirSync(runs).map((run) => join(runs, run, 'control.json')) : []
  for (const file of files.filter(existsSync)) {
    const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number }
    process.kill(pid, 'SIGKILL')
  }
}

async function runBlock(world: string, { language, text, line }: Block): Promise<string> {
  if (language === 'sh') return run(world, 'bash', ['-euo', 'pipefail', '-c', text])
  const { outputText } = ts.transpileModule(text, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  })
  writeFileSync(join(world, `example-${line}.mjs`), outputText)
  return run(world, process.execPath, [`example-${line}.mjs`])
}

const runnable = ['sh', 'ts'].flatMap(blocksIn).filter(({ notRun }) => notRun === null)
const withBlocks = pages.filter(({ path }) => runnable.some(({ page }) => page === path))

/** Lines that a page's output must hold. */
const PRINTS: Readonly<Record<string, readonly RegExp[]>> = {
  'README.md': [/baseline\.yaml: ok/, /2 masks in masks, 0 failed/, /^completed \S+step_00000004$/m],
  'docs/data.md': [/2 cases: 0 errors/, /2 prepared, 0 reused, 0 failed/],
  'docs/training.md': [/completed at step 6/, /learning rate 0\.00005 from step \d+/, /stopped/],
  'docs/typescript.md': [
    /^slower from step \d+$/m,
    /^completed 8 /m,
    /^stopped the user pressed stop$/m,
    /^2 masks 0 failed$/m,
    /^((true seen|false notSeen) \d[\d.e-]*\n){3}/m,
    /^1 rank 1 of 2 done$/m,
  ],
}

describe('the commands and examples run as printed', () => {
  it.each(withBlocks.map(({ path }) => path))(
    '%s',
    async (path) => {
      const world = join(root, path.replaceAll('/', '-'))
      cpSync(first, world, { recursive: true, verbatimSymlinks: true })
      onTestFinished(() => endTrainings(world))
      const blocks = runnable.filter(({ page }) => page === path).sort((a, b) => a.line - b.line)
      for (const [, file] of blocks.flatMap(({ text }) => [
        ...text.matchAll(/freetumor init .*--out (\S+)/g),
      ]))
        rmSync(join(world, file!), { force: true })
      let printed = ''
      for (const block of blocks) {
        const started = performance.now()
        const output = await runBlock(world, block).catch((error: Error) => {
          throw new Error(`${path}:${block.line}: ${error.message}`)
        })
        printed += output
        if (process.env.FREETUMOR_DOCS_OUTPUT) {
          const seconds = ((performance.now() - started) / 1000).toFixed(1)
          process.stdout.write(`== ${path}:${block.line} ${seconds} s\n${output}\n`)
        }
      }
      for (const line of PRINTS[path] ?? []) expect(printed).toMatch(line)
    },
    900_000,
  )
})

import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { packageRoot } from '../../src/runtime/python.js'
import { startNode } from '../helpers/cli.js'
import { runPython } from '../helpers/python.js'
import { temporaryFolder } from '../helpers/temporary.js'

const readme = readFileSync(join(packageRoot, 'README.md'), 'utf8')
const examples = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, text]) => text!)

/** Runs the example that holds these words with the built package, as a user's script in a folder. */
async function runExample(words: string, folder: string): Promise<string> {
  const [code] = examples.filter((text) => text.includes(words))
  const library = pathToFileURL(join(packageRoot, 'dist/index.js')).href
  const { outputText } = ts.transpileModule(code!.replace("'freetumor'", JSON.stringify(library)), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  })
  writeFileSync(join(folder, 'example.mjs'), outputText)
  const { code: exit, stdout, stderr } = await startNode(['example.mjs'], { cwd: folder }).finished
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
  return stdout
}

it('the examples of the README hold for the compiler', () => {
  const folder = temporaryFolder()
  const files = examples.map((text, at) => {
    const file = join(folder, `example-${at}.ts`)
    writeFileSync(file, `${text}\nexport {}\n`)
    return file
  })
  const program = ts.createProgram(files, {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    noEmit: true,
    paths: { freetumor: [join(packageRoot, 'src/index.ts')] },
    typeRoots: [join(packageRoot, 'node_modules/@types')],
    types: ['node'],
  })
  const wrong = files.flatMap((file) => ts.getPreEmitDiagnostics(program, program.getSourceFile(file)))
  const told = wrong.map(
    ({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
  )
  expect(told).toEqual([])
  expect(files.length).toBeGreaterThan(2)
})

it('the example of networks that stay loaded segments, paints and judges with checkpoints of ours', async () => {
  const folder = temporaryFolder()
  runPython('test/fixtures/make_warm_checkpoints.py', folder)
  const stdout = await runExample('openRuntime({', folder)
  expect(stdout).toMatch(/^((true seen|false notSeen) \d[\d.e-]*\n){3}$/)
})

it('the example of training control takes presses at any time and stops where it was told to', async () => {
  const folder = temporaryFolder()
  copyFileSync(join(packageRoot, 'configs/debug-baseline.yaml'), join(folder, 'debug-baseline.yaml'))
  const lines = (await runExample('const buttons', folder)).trim().split('\n')
  expect(lines.filter((line) => /^\d+ \d/.test(line)).map((line) => Number(line.split(' ')[0]))).toEqual(
    expect.arrayContaining([0, 1, 2, 3, 4]),
  )
  expect(lines.some((line) => /^slower from step \d+$/.test(line))).toBe(true)
  expect(lines.some((line) => line.startsWith('saved '))).toBe(true)
  expect(lines.at(-1)).toMatch(/^stopped the user has seen enough \d+$/)
})

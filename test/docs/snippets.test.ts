import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.js'
import { parseYaml } from '../../src/config/yaml.js'
import { packageRoot } from '../../src/runtime/python.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { blocksIn } from './pages.js'
import { smallConfig } from './world.js'

it('the TypeScript examples of all pages compile', () => {
  const folder = temporaryFolder()
  const examples = blocksIn('ts')
  const files = examples.map(({ text }, at) => {
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
  const faults = files.flatMap((file, at) =>
    ts
      .getPreEmitDiagnostics(program, program.getSourceFile(file))
      .map(
        ({ messageText }) => `${examples[at]!.page}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
      ),
  )
  expect(faults).toEqual([])
  expect(examples.length).toBeGreaterThan(5)
})

it('the YAML examples of all pages are valid configurations', () => {
  const examples = blocksIn('yaml')
  for (const { page, line, text } of examples) {
    const example = parseYaml(text, page) as Tree
    const small = parseYaml(smallConfig(String(example.job ?? 'segmentation')), 'small') as Tree
    expect(() => resolveConfig(laidOver(small, example), `${page}:${line}`)).not.toThrow()
  }
  expect(examples.length).toBeGreaterThan(5)
})

type Tree = { readonly [key: string]: unknown }

/** Branches key by key; leaves and lists of the example replace those of the base. */
function laidOver(base: Tree, example: Tree): Tree {
  const merged = Object.entries(example).map(([key, value]) => {
    const before = base[key]
    return [
      key,
      isTree(before) && isTree(value) && !('checkpoint' in before) ? laidOver(before, value) : value,
    ]
  })
  return { ...base, ...Object.fromEntries(merged) }
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

import { expect, test } from 'vitest'
import {
  exportedNames,
  importCycles,
  importedFile,
  importedPackage,
  pythonImports,
  typescriptImports,
} from './source-files.js'

test('TypeScript imports of every form are found, and type imports are marked', () => {
  const text = `
import { a, type B } from './a.js'
import { type C, type D } from './c.js'
import type { E } from './e.js'
import {
  f,
} from 'f'
export { g } from './g.js'
export type * from './h.js'
import "./i.js"
const j = await import('./j.js')
const k = createRequire(import.meta.url)('k') as K
const text = "from 'nowhere'"`
  const found = typescriptImports(text).map(
    ({ specifier, typeOnly }) => `${specifier}${typeOnly ? ' type' : ''}`,
  )
  expect(found).toEqual([
    './a.js',
    './c.js type',
    './e.js type',
    'f',
    './g.js',
    './h.js type',
    './i.js',
    './j.js',
    'k',
  ])
})

test('exported names of every form are found, those of other files are not', () => {
  const text = `
export interface A {}
export const a = 1
export async function b() {}
export function b(x: number): void
export abstract class C {}
export type { D } from './d.js'
export { e, type F } from './e.js'
export { g as h, type I }
const j = 'export const k'`
  expect(exportedNames(text)).toEqual(['A', 'a', 'b', 'C', 'h', 'I'])
})

test('an import is either a file below the root or a package', () => {
  expect(importedFile('a/b.ts', '../c/d.js')).toBe('c/d.ts')
  expect(importedFile('a/b.ts', 'zod')).toBeUndefined()
  expect([importedPackage('@grpc/grpc-js/x'), importedPackage('zod/v4'), importedPackage('node:fs')]).toEqual(
    ['@grpc/grpc-js', 'zod', undefined],
  )
})

test('import cycles are found, through types and through other files', () => {
  const files = [
    { path: 'a.ts', text: "import type { B } from './b.js'" },
    { path: 'b.ts', text: "import { c } from './rooms/c.js'" },
    { path: 'rooms/c.ts', text: "import { a } from '../a.js'\nimport { d } from './d.js'" },
    { path: 'rooms/d.ts', text: "import 'zod'" },
    { path: 'rooms/e.ts', text: "import type { E } from './e.js'\nimport './d.js'" },
  ]
  expect(importCycles(files)).toEqual([['a.ts', 'b.ts', 'rooms/c.ts'], ['rooms/e.ts']])
  expect(importCycles(files.slice(2, 4))).toEqual([])
})

test('Python imports of every form are found', () => {
  const text = `
import os, json
import torch.distributed as dist  # why
from freetumor_runtime import errors, config as c
from freetumor_runtime.data.crops import (
    A,
    B,
)
def f():
    from scipy import ndimage`
  expect(pythonImports(text).sort()).toEqual([
    'freetumor_runtime.config',
    'freetumor_runtime.data.crops',
    'freetumor_runtime.errors',
    'json',
    'os',
    'scipy',
    'torch.distributed',
  ])
})

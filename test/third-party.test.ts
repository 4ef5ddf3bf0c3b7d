import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { packageRoot } from '../src/runtime/python.js'
import { EXTRAS, type RuntimeExtra, readRequirements } from '../src/runtime/requirements.js'
import { importedPackage, sourceFiles, typescriptImports } from './helpers/source-files.js'

const page = readFileSync(join(packageRoot, 'THIRD_PARTY.md'), 'utf8')

/** Name, version and licence of each row below a title. */
function rowsBelow(title: string): string[][] {
  const part = page.split(/^## /m).find((text) => text.startsWith(`${title}\n`)) ?? ''
  const rows = [...part.matchAll(/^\| (.+?) \| (.+?) \| (.+?) \|$/gm)].map(([, ...cells]) => cells)
  return rows.filter(([name]) => name !== 'package')
}

interface Locked {
  readonly version: string
  readonly license?: string
  readonly dev?: boolean
}

it('the third-party notice lists every npm package of a run with its version and licence', () => {
  const { packages } = JSON.parse(readFileSync(join(packageRoot, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>
  }
  const used = Object.entries(packages).filter(([path, { dev }]) => path !== '' && !dev)
  const rows = used.map(([path, { version, license }]) => [
    path.split('node_modules/').at(-1),
    version,
    license,
  ])
  // pythonia states none; the page says what its LICENSE file says
  const stated = rowsBelow('npm').map(([name, version, licence]) => [
    name,
    version,
    name === 'pythonia' ? undefined : licence,
  ])
  expect(stated).toEqual(rows.sort(([a = ''], [b = '']) => (a < b ? -1 : 1)))
  expect(rowsBelow('npm').find(([name]) => name === 'pythonia')?.[2]).toContain('MIT')
})

it('the third-party notice lists every pinned Python package with its version and licence', () => {
  const listed = rowsBelow('Python').map(([name = '', version]) => [
    name.toLowerCase().replace(/[-_.]+/g, '-'),
    version,
  ])
  const extras = Object.keys(EXTRAS) as RuntimeExtra[]
  expect(Object.fromEntries(listed)).toEqual(readRequirements({ extras }).pins)
  for (const [, , licence] of rowsBelow('Python')) expect(licence).toMatch(/[A-Z]/)
})

it('the third-party notice lists every package in the page of studio, and the build adds its licence text', () => {
  const { packages } = JSON.parse(readFileSync(join(packageRoot, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>
  }
  const page = sourceFiles(join(packageRoot, 'src/studio/page'), '.ts')
  const imported = page.flatMap(({ text }) =>
    typescriptImports(text).map(({ specifier }) => importedPackage(specifier)),
  )
  const bundled = [...new Set(imported.filter((name) => name !== undefined))].sort()
  const rows = bundled.map((name) => {
    const { version, license } = packages[`node_modules/${name}`]!
    return [name, version, license]
  })
  expect(rowsBelow('Page of studio')).toEqual(rows)
  for (const name of bundled)
    expect(existsSync(join(packageRoot, `dist/studio/page/${name}-LICENSE.txt`))).toBe(true)
})

it('the third-party notice is part of the package', () => {
  const { files } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { files: string[] }
  expect(files).toContain('THIRD_PARTY.md')
})

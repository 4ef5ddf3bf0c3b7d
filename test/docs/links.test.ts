import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { RULES } from '../../src/curation/check/finding.js'
import { packageRoot } from '../../src/runtime/python.js'
import { sourceFiles } from '../helpers/source-files.js'
import { anchorsOf, type Page, pages, proseOf } from './pages.js'

const byPath = new Map(pages.map((page) => [page.path, page]))

/** Why a link to a file of the repository leads nowhere; null where it leads somewhere. */
function faultOf(from: string, target: string): string | null {
  const [file = '', anchor] = target.split('#')
  const path = file === '' ? from : normalize(join(dirname(from), file))
  if (!existsSync(join(packageRoot, path))) return `${from}: no file ${path}`
  if (anchor === undefined) return null
  const page = byPath.get(path)
  return page && anchorsOf(page).has(anchor) ? null : `${from}: no anchor #${anchor} in ${path}`
}

/** Paths of the repository in code spans; patterns and placeholders do not count. */
function pathsIn(page: Page): string[] {
  const spans = [...proseOf(page).matchAll(/`([^`\s]+)`/g)].map(([, span]) => span!)
  return spans.filter((span) =>
    /^(src|test|docs|scripts|python_runtime|proto|configs|\.github|\.ci)\/[\w./-]+$/.test(span),
  )
}

describe('the pages', () => {
  it('link to files and anchors that exist', () => {
    const links = pages.flatMap((page) =>
      [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => ({
        from: page.path,
        target: target!,
      })),
    )
    const [local, remote] = [
      links.filter(({ target }) => !target.includes(':')),
      links.filter(({ target }) => target.includes(':')),
    ]
    expect(local.map(({ from, target }) => faultOf(from, target)).filter((fault) => fault !== null)).toEqual(
      [],
    )
    expect(remote.filter(({ target }) => !target.startsWith('https://'))).toEqual([])
    expect(local.length).toBeGreaterThan(40)
  })

  it('name paths of the repository that exist', () => {
    const missing = pages.flatMap((page) =>
      pathsIn(page)
        .filter((path) => !existsSync(join(packageRoot, path)))
        .map((path) => `${page.path}: ${path}`),
    )
    expect(missing).toEqual([])
  })

  it('are all reached from the README', () => {
    const reached = new Set<string>()
    const visit = (path: string): void => {
      const page = byPath.get(path)
      if (!page || reached.has(path)) return
      reached.add(path)
      for (const [, target] of page.text.matchAll(/\]\(([^)\s#:]+)[^)]*\)/g))
        visit(normalize(join(dirname(path), target!)))
    }
    visit('README.md')
    expect([...byPath.keys()].filter((path) => !reached.has(path))).toEqual([])
  })

  it('cite sections that exist, also in comments of the code', () => {
    const folders = [
      'src',
      'python_runtime/freetumor_runtime',
      'python_runtime/tests',
      'test',
      'scripts',
      'proto',
    ]
    const files = folders.flatMap((folder) =>
      ['.ts', '.mjs', '.py', '.proto'].flatMap((ending) =>
        sourceFiles(join(packageRoot, folder), ending).map(({ path, text }) => ({
          path: join(folder, path),
          text,
        })),
      ),
    )
    const faults = files.flatMap(({ path, text }) =>
      [...text.matchAll(/\bdocs\/[\w-]+\.md(?:#[\w-]+)?/g)]
        .map(([target]) => faultOf(path, relative(dirname(path), target)))
        .filter((fault) => fault !== null),
    )
    expect(faults).toEqual([])
  })

  it('are short enough: the README has at most 180 lines', () => {
    expect(byPath.get('README.md')!.text.trimEnd().split('\n').length).toBeLessThanOrEqual(180)
  })

  it('list every rule of `data check` with cause and remedy', () => {
    const rows = [...byPath.get('docs/data.md')!.text.matchAll(/^\| `([\w-]+)` \| (error|warning|info) \|/gm)]
    expect(rows.map(([, rule]) => rule).sort()).toEqual(Object.keys(RULES).sort())
  })

  it('keep the sections of the method that comments cite', () => {
    const method = readFileSync(join(packageRoot, 'docs/method.md'), 'utf8')
    const numbers = [...method.matchAll(/^## (\d+)\. /gm)].map(([, number]) => Number(number))
    expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
  })
})

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { packageRoot } from '../../src/runtime/python.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { pages } from './pages.js'

it('npm run docs builds a site with every page and the API reference, without a warning', () => {
  const { scripts } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  expect(scripts.docs).toBe('typedoc')
  const site = temporaryFolder()
  execFileSync(join(packageRoot, 'node_modules/.bin/typedoc'), ['--out', site], {
    cwd: packageRoot,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const documents = readdirSync(join(site, 'documents'))
  const wanted = pages
    .filter(({ path }) => path !== 'README.md')
    .map(({ path }) => path.replace(/\.md$/, '.html').replaceAll('/', '_'))
  expect(wanted.filter((name) => !documents.includes(name))).toEqual([])
  for (const name of [
    'index.html',
    'functions/freetumor.train.html',
    'classes/freetumor.FreetumorError.html',
  ])
    expect(existsSync(join(site, name))).toBe(true)
  // readable offline: scripts and styles are files of the site
  expect(readFileSync(join(site, 'index.html'), 'utf8')).not.toMatch(/<(script|link)[^>]+https?:/)
})

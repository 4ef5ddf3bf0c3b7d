import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { runCli } from '../../helpers/cli.js'
import { temporaryFolder } from '../../helpers/temporary.js'

it('freetumor data split reads tumor sizes, writes folds that equal runs repeat, and shows the table', async () => {
  const cwd = temporaryFolder()
  const run = (...argv: string[]) => runCli(argv, { cwd })
  await run('phantom', '--out', 'P', '--cases', '4', '--size', '32', '--seed', '3')
  await run('data', 'import', '--lists', 'P', '--root', '.', '--out', 'm.json')
  const argv = ['data', 'split', 'm.json', '--folds', '2', '--seed', '5', '--output', 'json']
  const done = await run(...argv, '--out', 's.json')
  expect(done.code).toBe(0)
  const told = JSON.parse(done.stdout)
  expect(told.table).toMatchObject([
    { dataset: 'P', fold: 0, patients: 2 },
    { dataset: 'P', fold: 1, patients: 2 },
  ])
  for (const { stratum } of told.patients) expect(stratum).toMatch(/mm$/)
  const { cases } = JSON.parse(await readFile(join(cwd, 's.json'), 'utf8'))
  const folds = (list: { fold: number }[]) => list.map(({ fold }) => fold)
  expect(folds(cases)).toEqual(folds(told.patients))
  expect(JSON.parse((await run(...argv)).stdout).patients).toEqual(told.patients)
  const text = await run('data', 'split', 'm.json', '--folds', '2', '--seed', '5')
  expect(text.stdout).toMatch(/nothing was written/)
  expect((await run('data', 'split', 'm.json', '--folds', '1')).code).toBe(2)
})

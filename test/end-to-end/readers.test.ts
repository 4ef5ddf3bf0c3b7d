import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import type { StudyScore } from '../../src/readers/score.js'
import { readTruth } from '../../src/readers/study.js'
import { runCli, startCli } from '../helpers/cli.js'
import { writeReaderSets } from '../helpers/reader-sets.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { hasChromium, missing, violationsOf, visit } from '../studio/browser-page.js'

/** Start a server; resolve with the link of each reader. */
async function serve(cwd: string, readers: string) {
  const started = startCli(['readers', 'serve', 'study', '--readers', readers, '--output', 'json'], { cwd })
  let output = ''
  for await (const text of started.child.stdout!) {
    output += text
    if (/}\n$/.test(output)) break
  }
  const { readers: links } = JSON.parse(output) as {
    readers: { id: string; url: string; answered: number }[]
  }
  const end = async (): Promise<void> => {
    started.child.kill('SIGINT')
    const { code, stderr } = await started.finished
    expect(code, stderr).toBe(0)
  }
  return { links, end }
}

/** Answer cases by keys: mark the crosshair, real or synthetic, how sure, Enter. */
async function answer(page: Page, from: number, to: number, total: number): Promise<void> {
  for (let position = from; position <= to; position++) {
    await page.getByRole('heading', { name: `Case ${position} of ${total}`, exact: true }).waitFor()
    await page.locator('.view-note').waitFor({ state: 'hidden' })
    await page.locator('button[type=submit]:enabled').waitFor()
    await page.keyboard.press(' ')
    await page.keyboard.press(position % 2 === 0 ? 'r' : 's')
    await page.keyboard.press(String((position % 5) + 1))
    await page.keyboard.press('Enter')
  }
}

describe.skipIf(!hasChromium)(`a reader study in Chromium${missing}`, () => {
  it('goes from create to score by links, keys and clicks, with a restart in between', async () => {
    const cwd = temporaryFolder()
    await writeReaderSets(cwd, 12)
    const create = ['readers', 'create', '--real', 'real', '--synthetic', 'synthetic', '--out', 'study']
    const flags = ['--cases', '12', '--organs', 'liver', '--repeats', '2', '--examples', '2', '--seed', '3']
    const created = await runCli([...create, ...flags, '--output', 'json'], { cwd })
    expect(created.code, created.stderr).toBe(0)
    expect(JSON.parse(created.stdout)).toMatchObject({ cases: 12, repeats: 2, examples: 2 })

    const first = await serve(cwd, '2')
    expect(first.links.map(({ id }) => id)).toEqual(['R01', 'R02'])
    const refused = await runCli(['readers', 'serve', 'study'], { cwd })
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('study is being served by process')
    const { page, faults } = await visit(first.links[0]!.url)
    await page.getByRole('heading', { name: '14 cases for reader R01' }).waitFor()
    expect(page.url()).not.toContain('token')
    expect(await violationsOf(page)).toEqual([])
    await page.getByRole('button', { name: 'Start with 2 examples' }).click()
    for (const example of [1, 2]) {
      await page.getByRole('heading', { name: `Example ${example} of 2` }).waitFor()
      await page.locator('button[type=submit]:enabled').waitFor()
      await page.keyboard.press('Enter')
      await page.getByText('Click on the lesion first').waitFor()
      const axial = page.getByRole('img', { name: /axial/ })
      await axial.click({ position: { x: 60, y: 70 } })
      await page.getByText(/marked at/).waitFor()
      await page.getByLabel(/^real/).check()
      await page.getByLabel(/^certain/).check()
      await page.getByRole('button', { name: /^Answer/ }).click()
      await page.getByText(/^(Right|Wrong): this lesion is (real|synthetic)/).waitFor()
      expect(await violationsOf(page)).toEqual([])
      await page.getByRole('button', { name: /^Answer/ }).click()
    }
    await answer(page, 1, 6, 14)
    await page.getByRole('heading', { name: 'Case 7 of 14' }).waitFor()
    expect(faults).toEqual([])
    await first.end()

    const second = await serve(cwd, '2')
    expect(second.links.map(({ answered }) => answered)).toEqual([6, 0])
    const again = await visit(second.links[0]!.url)
    await again.page.getByRole('button', { name: 'Continue with case 7' }).click()
    await answer(again.page, 7, 14, 14)
    await again.page.getByRole('heading', { name: 'All cases are answered' }).waitFor()
    expect(await violationsOf(again.page)).toEqual([])
    expect(again.faults).toEqual([])
    await second.end()

    const scored = await runCli(['readers', 'score', 'study', '--output', 'json'], { cwd })
    expect(scored.code, scored.stderr).toBe(0)
    expect(scored.stderr).toContain('reader R02 has answered 0 of 14 cases')
    const score = JSON.parse(scored.stdout) as StudyScore
    const lines = readFileSync(join(cwd, 'study/answers.jsonl'), 'utf8').trim().split('\n')
    const answers = lines.map((line) => JSON.parse(line)).filter(({ kind }) => kind === 'answer')
    expect(answers).toHaveLength(14)
    const { cases } = await readTruth(join(cwd, 'study'))
    const ofFirst = answers.filter(({ showing }) => showing === 1)
    const right = ofFirst.filter((one) => cases[one.case - 1]!.truth === one.answer).length
    expect(score.readers[0]).toMatchObject({ id: 'R01', cases: 12, accuracy: right / 12 })
    expect(score.all).toMatchObject({ readers: 1, accuracy: { count: right, of: 12 } })
    expect(score.incomplete).toEqual([{ id: 'R02', answered: 0, of: 14 }])
    expect(score.kappa).toBeNull()
    for (const file of ['score.html', 'answers.csv', 'readers.csv'])
      expect(statSync(join(cwd, 'study/score', file)).mode & 0o777).toBe(0o600)
    expect(readFileSync(join(cwd, 'study/score/answers.csv'), 'utf8').trim().split('\n')).toHaveLength(15)
    const html = readFileSync(join(cwd, 'study/score/score.html'), 'utf8')
    expect(html).toContain('Reader R02 has answered 0 of 14 cases')
  })
})

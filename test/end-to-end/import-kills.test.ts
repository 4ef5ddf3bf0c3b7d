import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startCli } from '../helpers/cli.js'
import { imageOf, writeMasks, writeVolume } from '../helpers/layouts.js'
import { temporaryFolder } from '../helpers/temporary.js'

const CASES = 16

/** Run an import. With `killAt`, kill it as soon as this file exists. Return the exit code; null if it was killed. */
async function importAll(folder: string, out: string, killAt: string | null): Promise<number | null> {
  const meaning = ['--region', 'abdomen', '--map', 'region', '--measure', '--workers', '1']
  const argv = ['data', 'import', '--lists', folder, ...meaning, '--out', out]
  const { child, finished } = startCli(argv)
  while (killAt !== null && child.exitCode === null && !existsSync(killAt)) await new Promise(setImmediate)
  if (killAt !== null) child.kill('SIGKILL')
  return (await finished).code
}

// A sample of the campaign in scripts/faults/imports.mjs.
it('an import that was killed while merging and while measuring ends as an uninterrupted one', async () => {
  const folder = join(temporaryFolder(), 'Mine')
  for (let at = 0; at < CASES; at++) {
    await writeVolume(join(folder, `s${at}/ct.nii.gz`), imageOf(at))
    await writeMasks(join(folder, `s${at}`), '.nii.gz')
  }
  const place = temporaryFolder()
  const out = join(place, 'm.json')
  expect(await importAll(folder, out, null)).toBe(0)
  const whole = readFileSync(out)
  const files = readdirSync(place, { recursive: true }).sort()
  for (const name of readdirSync(place)) rmSync(join(place, name), { recursive: true })

  const moments = [join(place, 'm-labels'), `${out}.measures.jsonl`]
  for (const moment of moments) {
    expect(await importAll(folder, out, moment)).toBe(null)
    expect(existsSync(out)).toBe(false)
  }
  expect(await importAll(folder, out, null)).toBe(0)
  expect(readFileSync(out).equals(whole)).toBe(true)
  expect(readdirSync(place, { recursive: true }).sort()).toEqual(files)
})

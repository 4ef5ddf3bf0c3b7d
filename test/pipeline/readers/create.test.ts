import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { DataError, UsageError } from '../../../src/errors.js'
import { createReaderStudy } from '../../../src/pipeline/readers/create.js'
import type { ReaderStudySettings } from '../../../src/pipeline/readers/settings.js'
import { readStudy, readTruth, volumeBytes } from '../../../src/readers/study.js'
import { type ReaderSets, writeReaderSets } from '../../helpers/reader-sets.js'
import { keptFolder, temporaryFolder } from '../../helpers/temporary.js'

const kept = keptFolder()
let sets: ReaderSets

beforeAll(async () => {
  sets = await writeReaderSets(kept, 10)
})

const create = (out: string, change: Partial<ReaderStudySettings> = {}) =>
  createReaderStudy({ ...sets, out, cases: 14, examples: 2, organs: ['liver'], ...change })

describe('createReaderStudy', () => {
  test('writes volumes of one size, and the truth in a private file', async () => {
    const out = join(temporaryFolder(), 'study')
    const made = await create(out, { repeats: 4, timeLimitSeconds: 30 })
    const [study, truth] = [await readStudy(out), await readTruth(out)]
    expect(study).toMatchObject({ cases: 14, timeLimitSeconds: 30, spacingMm: 1 })
    expect(study.repeated).toHaveLength(4)
    const sides = study.repeated.map((number) => truth.cases[number - 1]!.truth)
    expect(sides.filter((side) => side === 'real')).toHaveLength(2)
    const volumes = readdirSync(join(out, 'volumes'))
    expect(volumes).toHaveLength(16)
    for (const name of volumes) expect(statSync(join(out, 'volumes', name)).size).toBe(volumeBytes(study))
    expect(statSync(join(out, 'truth.json')).mode & 0o777).toBe(0o600)
    expect(statSync(out).mode & 0o777).toBe(0o700)
    const all = [...truth.cases, ...truth.examples]
    expect(all.filter((one) => one.truth === 'real')).toHaveLength(8)
    expect(new Set(all.map(({ patient }) => patient)).size).toBe(16)
    expect(made.robot.separating).toEqual([])
    expect(made.notes.join()).toContain('not matched by scanner')
    // the tumor of each case lies where the truth states it
    for (const one of truth.cases) {
      const voxels = new Int16Array(
        new Uint8Array(readFileSync(join(out, 'volumes', `case-${String(one.case).padStart(4, '0')}.raw`)))
          .buffer,
      )
      const inside = one.lesion.flatMap((start, at) =>
        at % 2 === 0 ? [...voxels.subarray(start, start + one.lesion[at + 1]!)] : [],
      )
      const mean = inside.reduce((sum, hu) => sum + hu, 0) / inside.length
      expect(mean).toBeLessThan(100)
      expect(mean).toBeGreaterThan(-50)
    }
  })

  test('is the same for the same seed, and another one for another seed', async () => {
    const folder = temporaryFolder()
    for (const [name, seed] of [
      ['a', 1],
      ['b', 1],
      ['c', 2],
    ] as const)
      await create(join(folder, name), { seed })
    const order = async (name: string): Promise<string> =>
      JSON.stringify((await readTruth(join(folder, name))).cases)
    expect(await order('a')).toBe(await order('b'))
    expect(await order('a')).not.toBe(await order('c'))
    const read = (name: string): Buffer => readFileSync(join(folder, name, 'volumes/case-0001.raw'))
    expect(read('a').equals(read('b'))).toBe(true)
  })

  test('refuses a study whose sides differ outside the tumors, names the cue, and leaves nothing', async () => {
    const folder = temporaryFolder()
    const planted = await writeReaderSets(folder, 10, (hu, random) => hu + 8 * random())
    const out = join(folder, 'study')
    const failure = await create(out, { ...planted, cases: 18, examples: 0 }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(DataError)
    expect((failure as DataError).message).toMatch(/robot reader separates .* noise level in the plane/)
    expect(existsSync(out)).toBe(false)
    expect(readdirSync(folder).sort()).toEqual(['real', 'synthetic'])
  })

  test('matches cases within groups of a file', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'groups.csv')
    const names = Array.from({ length: 10 }, (_, at) => [`p_${at}`, `p_${at + 10}`]).flat()
    writeFileSync(file, names.map((name, at) => `${name},${at % 4 < 2 ? 'old' : 'new'} scanner\n`).join(''))
    const out = join(folder, 'study')
    const made = await create(out, { groups: file, cases: 8, examples: 0 })
    expect(made.notes.join()).not.toContain('not matched')
    const { cases } = await readTruth(out)
    for (const group of ['old scanner', 'new scanner']) {
      const sides = cases.filter((one) => one.group === group).map(({ truth }) => truth)
      expect(sides.filter((side) => side === 'real').length).toBe(sides.length / 2)
    }
  })

  test('states the possible number of cases if there are too few pairs', async () => {
    const failure = await create(join(temporaryFolder(), 'study'), { cases: 40 }).catch((error) => error)
    expect(failure).toBeInstanceOf(DataError)
    expect(failure.message).toMatch(
      /too few pairs .*expected 21, found \d+; \d+ real tumors and 10 synthetic/,
    )
    expect(failure.hint).toMatch(/lower cases to \d+/)
  })

  test.each<[Partial<ReaderStudySettings>, RegExp]>([
    [{ cases: 7 }, /--cases 7: wrong number \(expected an even number from 2\)/],
    [{ repeats: 30 }, /--repeats 30: too many/],
    [{ organs: ['livr'] }, /--organs livr: unknown organ .*did you mean liver/],
    [{ spacingMm: 0.01 }, /crop: wrong size/],
  ])('refuses %o', async (change, message) => {
    const made = create(join(temporaryFolder(), 'study'), change)
    await expect(made).rejects.toThrow(UsageError)
    await expect(made).rejects.toThrow(message)
  })
})

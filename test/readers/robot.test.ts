import { describe, expect, test } from 'vitest'
import { CUES, cuesOf } from '../../src/readers/cues.js'
import { type RobotCase, robotFinding } from '../../src/readers/robot.js'
import { openStream } from '../../src/simulation/random.js'

const GRID = { shape: [30, 30, 30] as const, spacingMm: 2 }
const COUNT = 30 ** 3

/** Cues of a volume of noisy tissue with a tumor in the middle, changed by `change`. */
function made(seed: number, change: (voxels: Int16Array, tumor: Uint8Array) => void = () => {}) {
  const random = openStream([seed, 'robot test'])
  const voxels = Int16Array.from({ length: COUNT }, () => 50 + 10 * random.normal())
  const tumor = new Uint8Array(COUNT)
  for (let k = 13; k < 17; k++)
    for (let j = 13; j < 17; j++) for (let i = 13; i < 17; i++) tumor[i + 30 * (j + 30 * k)] = 1
  change(voxels, tumor)
  const organ = tumor.map((one) => 1 - one)
  return cuesOf(voxels, tumor, organ, GRID, [random.normal(), random.normal(), random.normal()])
}

function finding(change?: Parameters<typeof made>[1], perSide = 10) {
  const cases: RobotCase[] = Array.from({ length: 2 * perSide }, (_, at) => ({
    truth: at < perSide ? 'real' : 'synthetic',
    stratum: 'liver',
    cues: made(at, at < perSide ? undefined : change),
  }))
  return robotFinding(cases, 1)
}

describe('the robot reader', () => {
  test('is blind to the tumor and its margin', () => {
    const plain = made(1)
    const painted = made(1, (voxels, tumor) => {
      for (let at = 0; at < COUNT; at++) if (tumor[at] === 1) voxels[at] = at % 7 === 0 ? 3000 : -1000
    })
    expect(painted).toEqual(plain)
  })

  test('finds nothing where nothing differs', () => {
    const { separating, cues, threshold } = finding()
    expect(separating).toEqual([])
    expect(threshold).toBe(0.01 / Object.keys(CUES).length)
    for (const { p } of cues) expect(p).toBeGreaterThan(threshold)
  })

  test.each<[string, (hu: number, at: number, voxels: Int16Array) => number]>([
    ['HU of the organ', (hu) => hu + 8],
    ['HU step', (hu) => 2 * Math.floor(hu / 2)],
    ['noise level in the plane', (hu) => 50 + 1.3 * (hu - 50)],
    ['padding with zeros', (hu, at) => (at < 4 * 900 ? 0 : hu)],
    ['padding with one value', (hu, at) => (at < 4 * 900 ? -1024 : hu)],
    ['resampling spectrum in the plane', (hu, at, voxels) => (hu + (voxels[at + 1] ?? hu)) / 2],
    ['resampling spectrum between slices', (hu, at, voxels) => (hu + (voxels[at + 900] ?? hu)) / 2],
    ['HU range, low end', (hu, at) => (at === 5 ? -1000 : hu)],
    ['HU range, high end', (hu, at) => (at === 5 ? 1500 : hu)],
    [
      'table or objects behind the body',
      (hu, at) => {
        const y = Math.floor(at / 30) % 30
        return y < 2 ? 100 : y < 6 ? -1000 : hu
      },
    ],
  ])('names the planted cue %s', (cue, change) => {
    const planted = (voxels: Int16Array): void => voxels.set(voxels.map(change))
    expect(finding(planted).separating).toContain(cue)
  })

  test('states that so few cases cannot give a small p', () => {
    const { attainable, threshold } = finding(undefined, 4)
    expect(attainable).toBeCloseTo(2 / 70, 10)
    expect(attainable).toBeGreaterThan(threshold)
  })
})

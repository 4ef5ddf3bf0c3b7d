import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { DataError, UsageError } from '../../../src/errors.js'
import type { CaseMeasures } from '../../../src/evaluation/measures.js'
import { calibrateMasks } from '../../../src/pipeline/evaluate/calibrate.js'
import type { EvaluateSpec } from '../../../src/pipeline/ports/cases.js'
import { readCalibration } from '../../../src/pipeline/quality-policy.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { lesion, measuredCase, overlap } from '../../helpers/measures.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const SHA = 'ab'.repeat(32)

/** A folder of empty masks and labels, whose measures come from `measure`. */
function world(measure: (id: string) => Partial<CaseMeasures> | string) {
  const folder = temporaryFolder()
  const specs: EvaluateSpec[] = []
  const notes: string[] = []
  const fill = (name: string, ...ids: readonly string[]): string => {
    mkdirSync(join(folder, name))
    for (const id of ids) writeFileSync(join(folder, name, `${id}.nii.gz`), '')
    return join(folder, name)
  }
  const runtime = inMemoryRuntime({
    evaluate: ({ id }, spec) => {
      specs.push(spec)
      const told = measure(id)
      if (typeof told === 'string') return { caseId: id, error: { kind: 'data', message: told, hint: '' } }
      const { caseId: _, patient: __, ...result } = { ...measuredCase(id, overlap(5, 5, 5)), ...told }
      return { caseId: id, result: JSON.parse(JSON.stringify(result)) }
    },
  })
  const context = {
    runtime,
    signal: undefined,
    logDirectory: folder,
    note: (text: string) => notes.push(text),
  }
  return { folder, specs, notes, fill, context }
}

const sick: Partial<CaseMeasures> = {
  lesions: [
    lesion('true', 10, true, { voxels: 100, volumeMl: 0.5 }),
    lesion('true', 6, false, { voxels: 20, volumeMl: 0.1, label: 6 }),
    lesion('predicted', 9, true),
    lesion('predicted', 4, true),
  ],
  lesionOverlaps: [
    [0, 0, 30],
    [0, 1, 10],
  ],
}

it('writes the detected fraction of each real tumor, and the checkpoint of the masks', async () => {
  const { folder, fill, context } = world(() => sick)
  const predictions = fill('masks', 'a')
  writeFileSync(join(predictions, 'prediction.json'), JSON.stringify({ checkpoints: [{ sha256: SHA }] }))
  const out = join(folder, 'new/calibration.json')
  const written = await calibrateMasks({ predictions, labels: fill('labels', 'a'), out }, context)
  expect(written).toMatchObject({
    file: out,
    segmentor: SHA,
    realTumors: [
      { case: 'a', organ: 'liver', volumeMl: 0.5, shareSeen: 0.4 },
      { case: 'a', organ: 'kidney', volumeMl: 0.1, shareSeen: 0 },
    ],
    healthy: null,
  })
  const { file: _, ...content } = written
  expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual(content)
  expect((await readCalibration(out)).calibration).toEqual(content)
})

it('compares masks of healthy scans with themselves without tumors', async () => {
  const silent: Partial<CaseMeasures> = {
    labels: [
      { label: 1, ...overlap(300, 0, 0) },
      { label: 2, ...overlap(0, 0, 0) },
    ],
    lesions: [],
  }
  const called: Partial<CaseMeasures> = {
    labels: [
      { label: 1, ...overlap(90, 0, 10) },
      { label: 2, ...overlap(0, 10, 0) },
    ],
    lesions: [lesion('predicted', 9, false, { volumeMl: 0.2 })],
  }
  const others = [3, 4, 5, 6].map((label) => ({ label, ...overlap(0, 0, 0) }))
  const { folder, specs, notes, fill, context } = world((id) => {
    if (id === 'a') return sick
    const told = id === 'h1' ? silent : called
    return { ...told, labels: [...told.labels!, ...others] }
  })
  const options = {
    predictions: fill('masks', 'a'),
    labels: fill('labels', 'a'),
    healthy: fill('healthy', 'h1', 'h2'),
  }
  const { healthy } = await calibrateMasks({ ...options, out: join(folder, 'c.json') }, context)
  expect(healthy).toMatchObject({
    scans: 2,
    lesionFree: { successes: 1, of: 2, rate: 0.5 },
    falsePositivesPerScan: 0.5,
    falsePositiveMlPerScan: 0.1,
    seenShare: { liver: 10 / 400 },
  })
  expect(healthy!.seenShare).not.toHaveProperty('kidney')
  expect(specs.at(-1)!.labelMap).toMatchObject({ '1': 1, '2': 1, '4': 3, '6': 5 })
  // the tumors of the masks are in no label, as they must be
  expect(notes).toEqual([])
})

it('refuses held-out cases without a tumor, and a case that cannot be measured, without writing', async () => {
  const healthy = world(() => ({ lesions: [] }))
  const options = { predictions: healthy.fill('masks', 'a'), labels: healthy.fill('labels', 'a') }
  const out = join(healthy.folder, 'new/c.json')
  await expect(calibrateMasks({ ...options, out }, healthy.context)).rejects.toThrow(UsageError)
  const broken = world(() => 'its grid differs')
  await expect(
    calibrateMasks(
      { predictions: broken.fill('masks', 'a'), labels: broken.fill('labels', 'a'), out },
      broken.context,
    ),
  ).rejects.toThrow('case a: not measured (its grid differs)')
  expect(existsSync(dirname(out))).toBe(false)
})

it('names the wrong part of a file that is no calibration', async () => {
  const file = join(temporaryFolder(), 'c.json')
  writeFileSync(
    file,
    JSON.stringify({
      format: 'freetumor calibration',
      version: 1,
      segmentor: 'x',
      realTumors: [],
      healthy: null,
    }),
  )
  await expect(readCalibration(file)).rejects.toThrow(DataError)
  await expect(readCalibration(file)).rejects.toThrow('not a calibration at segmentor')
})

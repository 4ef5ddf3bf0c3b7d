import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ScannedSeries } from '../../../src/curation/dicom/series.js'
import { StoppedError } from '../../../src/errors.js'
import { convertDicomSeries } from '../../../src/pipeline/data/convert.js'
import type { DicomReader } from '../../../src/pipeline/ports/dicom.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { temporaryFolder } from '../../helpers/temporary.js'

/** A usable CT series of its own study. */
function series(uid: string, bytes = 1): ScannedSeries {
  const lps = [
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
  ]
  return {
    ...{ uid, study: uid, frame: '', patient: uid, modality: 'CT', kind: 'image', seriesNumber: 1 },
    ...{ imageType: [], description: '', kernel: '', contrast: false, lossy: false, files: 1 },
    state: [[uid, bytes, 0]],
    volume: {
      paths: [uid],
      shape: [2, 2, 2],
      spacingMm: [1, 1, 1],
      lps,
      rescale: [1, 0],
      frames: null,
      repeated: 0,
    },
    labels: null,
    refusal: null,
  }
}

/** A reader that writes a file for each job; it aborts after `stopAfter` jobs, and refuses the series `broken`. */
function reader(all: readonly ScannedSeries[], { stopAfter = Infinity, broken = '', stop = () => {} } = {}) {
  const converted: string[] = []
  const made: DicomReader = {
    scan: async () => ({ series: all, files: all.length, others: 0, links: 0, unreadable: [] }),
    async *convert({ work, jobs }, { signal }) {
      mkdirSync(work)
      for (const { job, image, paths } of jobs) {
        if (converted.length === stopAfter) {
          stop()
          throw signal!.reason
        }
        if (paths[0] === broken) {
          yield { job, refusal: { code: 'failed', reason: 'it is broken', hint: '' } }
          continue
        }
        converted.push(paths[0]!)
        if (image !== null) writeFileSync(image, paths[0]!)
        yield { job, seconds: 0, hu: null, voxels: {}, notes: [], labelRefusal: null }
      }
    },
  }
  return { converted, made }
}

function place() {
  const cwd = temporaryFolder()
  mkdirSync(join(cwd, 'in'))
  const options = { out: 'out', key: 'dicom.key', cwd }
  const call = (from: DicomReader, signal?: AbortSignal) =>
    convertDicomSeries(
      'in',
      options,
      { runtime: inMemoryRuntime(), signal, logDirectory: cwd, note: () => {} },
      from,
    )
  return { cwd, call }
}

test('a stopped conversion keeps its complete cases, and the next one converts the others', async () => {
  const { cwd, call } = place()
  const all = ['1.1', '1.2', '1.3'].map((uid) => series(uid))
  const controller = new AbortController()
  const stopped = reader(all, {
    stopAfter: 1,
    stop: () => controller.abort(new DOMException('SIGINT', 'AbortError')),
  })
  const error = await call(stopped.made, controller.signal).catch((one: unknown) => one)
  expect(error).toBeInstanceOf(StoppedError)
  expect(error).toMatchObject({ exitCode: 75 })
  expect(readdirSync(join(cwd, 'out')).filter((name) => name.includes('.tmp.'))).toEqual([])
  const resumed = reader(all)
  const result = await call(resumed.made)
  expect([...stopped.converted, ...resumed.converted]).toEqual(['1.1', '1.2', '1.3'])
  expect(result).toMatchObject({ numCases: 3, complete: true })
  expect(JSON.parse(readFileSync(join(cwd, 'out/dataset.json'), 'utf8')).test).toHaveLength(3)
})

test('a series that changed is converted again under the same id', async () => {
  const { call } = place()
  const first = await call(reader([series('1.1')]).made)
  const changed = reader([series('1.1', 2)])
  const second = await call(changed.made)
  expect(changed.converted).toEqual(['1.1'])
  expect(second.series[0]!.case).toBe(first.series[0]!.case)
  expect(second.numCases).toBe(1)
})

test('a series that fails is refused in the result, and the others are converted', async () => {
  const { cwd, call } = place()
  const result = await call(reader([series('1.1'), series('1.2')], { broken: '1.1' }).made)
  expect(result.series.map(({ outcome }) => outcome)).toEqual(['refused', 'converted'])
  expect(result).toMatchObject({ complete: false, numCases: 1 })
  expect(existsSync(join(cwd, 'out', result.series[1]!.image!))).toBe(true)
})

test('another key gives other ids', async () => {
  const [first, second] = [place(), place()]
  const ids = await Promise.all(
    [first, second].map(async ({ call }) => (await call(reader([series('1.1')]).made)).series[0]!.case),
  )
  expect(new Set(ids).size).toBe(2)
})

test('a folder without DICOM files leaves no output folder', async () => {
  const { cwd, call } = place()
  await expect(call(reader([]).made)).rejects.toThrow('no DICOM file found')
  expect(existsSync(join(cwd, 'out'))).toBe(false)
})

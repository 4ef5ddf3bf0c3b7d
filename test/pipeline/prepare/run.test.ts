import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { DataError } from '../../../src/errors.js'
import type { StageContext } from '../../../src/pipeline/context.js'
import type { PrepareSpec } from '../../../src/pipeline/ports/cases.js'
import {
  type CaseToPrepare,
  curateData,
  prepareCases,
  prepareData,
  prepareListed,
} from '../../../src/pipeline/prepare/run.js'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from '../train/memory-run.js'

function watched(specs: PrepareSpec[]): StageContext {
  const answers = memoryRuntime()
  const runtime: typeof answers = {
    ...answers,
    prepare: (spec, call) => {
      specs.push(spec)
      return answers.prepare(spec, call)
    },
  }
  return { runtime, signal: undefined, logDirectory: temporaryFolder(), note: () => {} }
}

test('a preparation verifies the cases that it reuses, the start of a training leaves that to the feeder', async () => {
  const config = await memoryConfig('baseline', temporaryFolder())
  const specs: PrepareSpec[] = []
  await prepareCases(config, watched(specs))
  await prepareData(config, watched(specs))
  expect(specs.map(({ verify }) => verify)).toEqual([true, false])
})

test('cases that differ in upper and lower case alone are refused before anything is prepared', async () => {
  const config = await memoryConfig('baseline', temporaryFolder())
  const specs: PrepareSpec[] = []
  const context = watched(specs)
  const [first] = (await curateData(config, context)).cases
  const cases = ['d/Case', 'd/case'].map((id): CaseToPrepare => ({ ...first!, id, labelMap: {} }))
  const refused = prepareListed(config, cases, context)
  await expect(refused).rejects.toThrow(DataError)
  await expect(refused).rejects.toThrow(
    'cases d/Case and d/case: equal file names (found d%2Fcase.zarr for both)',
  )
  expect(specs).toEqual([])
})

test('a training whose prepared data were damaged ends with the case and what to do, and trains on nothing of it', async () => {
  const folder = temporaryFolder()
  const config = await memoryConfig('baseline', folder)
  const sound = memoryRuntime()
  const runtime: typeof sound = {
    ...sound,
    // A quarter of every image is zeroed, after its checksums were written.
    prepare: async function* (spec, call) {
      for await (const outcome of sound.prepare(spec, call)) {
        if ('result' in outcome) zeroQuarter(join(outcome.result.path, 'image/c/0/0/0'))
        yield outcome
      }
    },
  }
  const run = startTraining(config, runtime, { out: join(folder, 'run') })
  const failure = await run.result.catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(DataError)
  expect((failure as DataError).message).toMatch(
    /^case \S+: .*damaged since the case was prepared: image: plane \d+, rows/,
  )
  expect((failure as DataError).hint).toBe('run `freetumor prepare` again: it replaces a damaged case')
  expect(JSON.parse(readFileSync(join(folder, 'run/exit.json'), 'utf8'))).toMatchObject({
    exitCode: 3,
    step: 0,
  })
})

function zeroQuarter(file: string): void {
  const content = readFileSync(file)
  writeFileSync(file, content.fill(0, content.length >> 2, content.length >> 1))
}

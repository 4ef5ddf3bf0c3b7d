import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { labelOrgansAt } from '../../../src/pipeline/organs/run.js'
import type { LabelOrgansOptions } from '../../../src/pipeline/organs/settings.js'
import type { CheckpointFacts } from '../../../src/pipeline/ports/checkpoint.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { toolRunner } from '../../../src/runtime/tool.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { checkpointFacts, segmentorFacts } from '../../helpers/checkpoint-facts.js'
import { ABDOMEN, writeGivenLabel, writeStandInScan } from '../../helpers/stand-in-tools.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const STATED = { windowHu: [-175, 250], spacingMm: [1.5, 1.5, 1.5], patchVoxels: [96, 96, 96] }

let folder: string
beforeEach(() => {
  folder = temporaryFolder()
  writeFileSync(join(folder, 'model.pt'), '')
})

/** Label a scan by a segmentor whose mask has output 1 in the liver, 2 in a part of it, and 3 in the pancreas. */
async function label(
  metadata: Record<string, unknown>,
  options: Partial<LabelOrgansOptions> = {},
  outputs = 4,
) {
  await writeStandInScan(join(folder, 'scans/a.nii.gz'), ABDOMEN)
  const facts = (path: string): CheckpointFacts =>
    checkpointFacts([segmentorFacts(outputs, { tumorOutputs: [2] })], {
      path,
      metadata: { ...STATED, ...metadata },
      sha256: 'f'.repeat(64),
    })
  const runtime = inMemoryRuntime({
    inspect: facts,
    predict: async ({ id, name }, spec) => {
      await writeGivenLabel(join(spec.directory, `${name}.nii.gz`), [
        { structure: '1', from: [1, 2, 2], to: [9, 12, 12] },
        { structure: '2', from: [3, 3, 3], to: [5, 5, 5] },
        { structure: '3', from: [11, 4, 4], to: [14, 6, 8] },
      ])
      const seconds = { read: 1, segment: 2, write: 1 }
      const windows = { all: 1, computed: 1, blank: 0, leftOut: 0 }
      return {
        caseId: id,
        result: { files: { [`${name}.nii.gz`]: '' }, seconds, windows, labelVoxels: [] },
      }
    },
  })
  return labelOrgansAt(
    {
      images: join(folder, 'scans'),
      out: join(folder, 'out'),
      with: { checkpoint: join(folder, 'model.pt') },
      ...options,
    },
    { runtime, signal: undefined, logDirectory: folder, note: () => {} },
    toolRunner,
  )
}

async function countsOf(): Promise<Record<string, number>> {
  const { data } = await readNifti(join(folder, 'out/a.nii.gz'))
  const counts: Record<string, number> = {}
  for (const id of data) if (id !== 0) counts[id] = (counts[id] ?? 0) + 1
  return counts
}

test('names of outputs give the ids; a predicted tumor becomes its organ', async () => {
  const labels = await label({ labelNames: ['background', 'liver', 'liver tumor', 'pancreas'] })
  expect(labels.failed).toEqual([])
  expect(labels).toMatchObject({ tool: 'checkpoint', version: 'f'.repeat(64) })
  expect(await countsOf()).toEqual({ 1: 800, 3: 24 })
})

test('a map gives the meaning of outputs without names', async () => {
  await expect(label({})).rejects.toMatchObject({
    code: 'usage',
    message: '--with checkpoint: no organ of the abdomen among its 4 outputs (without names)',
  })
  const labels = await label({}, { map: '1:liver,2:liver,3:pancreas' })
  expect(labels.failed).toEqual([])
  expect(await countsOf()).toEqual({ 1: 800, 3: 24 })
})

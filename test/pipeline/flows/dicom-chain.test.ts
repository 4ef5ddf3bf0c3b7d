import { join } from 'node:path'
import { expect, test } from 'vitest'
import { predictDicom } from '../../../src/pipeline/flows/dicom-chain.js'
import type { DicomReader } from '../../../src/pipeline/ports/dicom.js'
import type { SegWriter } from '../../../src/pipeline/ports/dicom-seg.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { temporaryFolder } from '../../helpers/temporary.js'

test('a prediction of DICOM series refuses a wrong operating point before it reads a series', async () => {
  const folder = temporaryFolder()
  const touched = () => {
    throw new Error('a series was read')
  }
  const tools = {
    reader: { scan: touched, convert: touched } as unknown as DicomReader,
    writer: {} as SegWriter,
  }
  const context = { runtime: inMemoryRuntime({}), signal: undefined, logDirectory: folder, note: () => {} }
  const operatingPoint = join(folder, 'point.json')
  await expect(
    predictDicom({ dicom: folder, out: join(folder, 'out') }, { operatingPoint }, null, context, tools),
  ).rejects.toThrow('point.json: file not found')
})

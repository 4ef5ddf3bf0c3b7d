import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { casesAt } from '../../../src/pipeline/data/collect.js'
import { tumorsOf } from '../../../src/pipeline/readers/candidates.js'
import { writeReaderSets } from '../../helpers/reader-sets.js'
import { temporaryFolder } from '../../helpers/temporary.js'

test('a synthetic scan into a scan of the real side has the painted tumors only, and the patient of its host', async () => {
  const sets = await writeReaderSets(temporaryFolder(), 2)
  const host = createHash('sha256')
    .update(readFileSync(join(sets.real, 'imagesTr/p_0.nii.gz')))
    .digest('hex')
  const lines = readFileSync(join(sets.synthetic, 'ledger.jsonl'), 'utf8').trim().split('\n')
  const ledger = lines.map((line) => JSON.stringify({ ...JSON.parse(line), host }))
  writeFileSync(join(sets.synthetic, 'ledger.jsonl'), `${ledger.join('\n')}\n`)
  const known = new Map()
  const tumorsAt = async (side: 'real' | 'synthetic') => {
    const { cases } = await casesAt([sets[side]], { unknown: 'refuse' })
    const place = { signal: undefined, folder: sets[side], known }
    return (await tumorsOf(side, cases, ['liver'], () => 'all', place)).tumors
  }

  const [real] = await tumorsAt('real')
  const synthetic = await tumorsAt('synthetic')

  expect(synthetic).toHaveLength(2)
  for (const { patient, tumorsFile, scans, case: one } of synthetic) {
    expect(patient).toBe(real!.patient)
    expect(tumorsFile).toBe(one.label!.replace('labelsTr', 'tumorsTr'))
    expect(scans).toEqual([createHash('sha256').update(readFileSync(one.image)).digest('hex'), host])
  }
})

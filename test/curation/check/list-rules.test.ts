import { describe, expect, it } from 'vitest'
import { listFindings } from '../../../src/curation/check/list-rules.js'
import { madeCase, madeImage } from '../../helpers/made-cases.js'
import { temporaryFolder } from '../../helpers/temporary.js'

describe('listFindings', () => {
  it('reports duplicate ids and images, and patients on two sides', async () => {
    const item = await madeCase(temporaryFolder(), madeImage(), null)
    const findings = listFindings([
      item,
      { ...item, image: '/elsewhere.nii.gz' },
      { ...item, id: 'Made/b', patient: 'Made/b' },
      { ...item, id: 'Made/c', image: '/c.nii.gz', split: 'validation' },
    ])
    expect(findings.map(({ rule, severity }) => `${rule}:${severity}`)).toEqual([
      'duplicate-id:error',
      'duplicate-image:error',
      'patient-in-two-splits:error',
    ])
    expect(findings.map((finding) => finding.case)).toEqual(['Made/a', 'Made/b', 'Made/c'])
  })
})

import { describe, expect, it } from 'vitest'
import { refuseOtherOrgans } from '../../../src/pipeline/train/inputs.js'
import { targetConfig } from '../targets.js'

describe('a target', () => {
  const real = (dataset: string, organs: string[], split = 'training') => ({
    id: `${dataset}/1`,
    dataset,
    split: split as 'training',
    role: { kind: 'labelled' as const, organs: organs as ['liver'] },
  })

  it('of one organ refuses real tumors of another, whose organ it would learn as background', () => {
    const [liver, pancreas] = [targetConfig('lits', 'freesyn'), targetConfig('panc', 'freesyn')]
    const lits = real('Dataset003_Liver', ['liver'])
    expect(() => refuseOtherOrgans(liver, [lits])).not.toThrow()
    expect(() => refuseOtherOrgans(pancreas, [lits])).toThrow(
      'training.target panc: Dataset003_Liver has real tumors of another organ (expected pancreas, found liver)',
    )
    expect(() => refuseOtherOrgans(targetConfig('all', 'onlylabeled'), [lits])).not.toThrow()
  })

  it('accepts data sets without declared organs, data sets of several organs, and held-out ones', () => {
    const pancreas = targetConfig('panc', 'freesyn')
    const taken = [
      real('Mine', []),
      real('Both', ['liver', 'pancreas']),
      real('Test', ['liver'], 'validation'),
    ]
    expect(() => refuseOtherOrgans(pancreas, taken)).not.toThrow()
  })
})

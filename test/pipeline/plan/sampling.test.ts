import { expect, it } from 'vitest'
import type { RunConfig } from '../../../src/config/schema.js'
import { sampledCases, samplingPlan } from '../../../src/pipeline/plan/sampling.js'
import type { TrainingCase } from '../../../src/pipeline/prepare/run.js'
import { TARGETS, targetConfig } from '../targets.js'

const cases: TrainingCase[] = [
  { id: 'Mine/a', path: '', kind: 'labelled', repeat: 10, heldOut: false, content: '' },
  { id: 'Mine/b', path: '', kind: 'labelled', repeat: 10, heldOut: true, content: '' },
  { id: 'Hosts/c', path: '', kind: 'host', repeat: 1, heldOut: false, content: '' },
]

it.each(TARGETS)(
  'target %s of the %s draws from real tumors alone (onlylabeled) or from hosts too, painted (freesyn)',
  (target, region) => {
    const [real, both] = ['onlylabeled', 'freesyn'].map((task) => targetConfig(target, task, region)) as [
      RunConfig,
      RunConfig,
    ]
    expect(sampledCases(real, cases).map(({ id }) => id)).toEqual(['Mine/a'])
    expect(sampledCases(both, cases).map(({ id }) => id)).toEqual(['Mine/a', 'Hosts/c'])
    expect(samplingPlan(real, []).tumors.draws).toBe(0)
    expect(samplingPlan(both, []).tumors).toMatchObject({
      draws: 1,
      condition: region === 'chest' ? 'organ' : 'organWithoutTumor',
    })
  },
)

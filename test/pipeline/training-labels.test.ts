import { describe, expect, it } from 'vitest'
import { trainingLabels } from '../../src/pipeline/training-labels.js'
import { TARGETS, targetConfig } from './targets.js'

describe('a target', () => {
  it.each(TARGETS)('%s of the %s maps the ids of its region to %j', (target, region, map, organs, tumors) => {
    const labels = trainingLabels(targetConfig(target, 'onlylabeled', region))
    expect(labels.map).toEqual(map)
    expect(labels.organs.map((organ) => organ.name)).toEqual(organs)
    expect(labels.tumorIds).toEqual(tumors)
    expect(labels.names).toHaveLength(Math.max(...map) + 1)
  })

  it.each([
    ['lits', 'chest'],
    ['covid', 'abdomen'],
  ])('%s is refused in the %s', (target, region) => {
    expect(() => targetConfig(target, 'onlylabeled', region)).toThrow(
      `training.target: no target of the ${region}`,
    )
  })
})

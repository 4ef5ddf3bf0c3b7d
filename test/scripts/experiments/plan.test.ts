import { describe, expect, it } from 'vitest'
import { cellsOf, DEFAULT_PLAN, FULL_PLAN, repeats, stagesOf } from '../../../scripts/experiments/plan.js'

describe('the plan of the experiment', () => {
  it('has a cell for each seed and number of labelled cases, fewest labels first', () => {
    const names = cellsOf(DEFAULT_PLAN).map(({ seed, labelled }) => `${seed}/${labelled}`)
    expect(names).toEqual(['301/2', '302/2', '303/2', '301/4', '302/4', '303/4'])
  })

  it('makes the start before the generator and both before any arm', () => {
    expect(stagesOf(DEFAULT_PLAN)).toEqual([
      'start',
      'generator',
      'realOnly',
      'plainHosts',
      'handCrafted',
      'trained',
    ])
    expect(stagesOf({ ...DEFAULT_PLAN, arms: ['realOnly', 'handCrafted'] })).not.toContain('generator')
  })

  it.each([2, 4, 8])('gives hosts 0.4 of the visits with %i labelled cases', (labelled) => {
    const repeat = repeats(labelled, 12)
    const hosts = 12 * repeat.host
    expect(hosts / (hosts + labelled * repeat.labelled)).toBeCloseTo(0.4, 2)
  })

  it('has what the default has in the full one, and more', () => {
    expect(FULL_PLAN.arms).toEqual(expect.arrayContaining([...DEFAULT_PLAN.arms]))
    expect(FULL_PLAN.labelled).toEqual([2, 4, 8])
  })
})

import { describe, expect, it } from 'vitest'
import { checkPainting } from '../../src/config/check-together.js'
import { resolveConfig } from '../../src/config/resolve.js'

const resolved = (entry: object, more: object = {}) =>
  resolveConfig({
    job: 'baseline',
    data: { datasets: [{ name: 'BTCV' }] },
    ...more,
    simulation: { curriculum: [{ organ: 'liver', found: 1, missed: 1, ...entry }] },
  })

describe('an entry of a curriculum', () => {
  it.each([
    { diameterMm: [0, 5] },
    { diameterMm: [50, null] },
    { depthMm: [0, 5] },
    { depthMm: [15, null] },
    { contrastHu: [null, -60] },
    { contrastHu: [-20, 20] },
    { contrastHu: [20, null] },
  ])('keeps %j as it is', (range) => {
    expect(resolved(range).simulation.curriculum).toEqual([{ organ: 'liver', found: 1, missed: 1, ...range }])
  })

  it.each([
    [{}, /expected exactly one of diameterMm, depthMm and contrastHu/],
    [{ diameterMm: [5, 10], depthMm: [0, 5] }, /exactly one of/],
    [{ depthMm: [5, 5] }, /depthMm.*\(expected an end above its start/],
    [{ diameterMm: [5, 5] }, /diameterMm.*\(expected an end above its start/],
    [
      { organ: 'lung', depthMm: [0, 5] },
      /organ: not an organ of the region abdomen \(expected one of liver, pancreas, kidney, found lung\)/,
    ],
    [{ depthMm: [0, null] }, /depthMm.*end above its start/],
    [{ depthMm: [-1, 5] }, /depthMm/],
    [{ depthMm: [5, 1e6] }, /depthMm/],
    [{ contrastHu: [null, null] }, /contrastHu.*end above its start/],
    [{ contrastHu: [null, 20] }, /contrastHu.*end above its start/],
    [{ contrastHu: [-20, null] }, /contrastHu.*end above its start/],
    [{ contrastHu: [0, Number.POSITIVE_INFINITY] }, /contrastHu/],
    [{ depthsMm: [0, 5] }, /depthsMm/],
  ])('is refused as %j', (range, message) => {
    expect(() => resolved(range)).toThrow(message)
  })
})

describe('the ranges of a curriculum', () => {
  const listed = (...ranges: object[]) =>
    resolveConfig({
      job: 'baseline',
      data: { datasets: [{ name: 'BTCV' }] },
      simulation: { curriculum: ranges.map((one) => ({ organ: 'liver', found: 1, missed: 1, ...one })) },
    })

  it.each([
    [{ diameterMm: [5, 10] }, { diameterMm: [5, 10] }],
    [{ diameterMm: [20, null] }, { diameterMm: [50, 100] }],
    [{ depthMm: [0, 6] }, { depthMm: [5, null] }],
    [{ contrastHu: [-100, -60] }, { contrastHu: [null, -80] }],
  ])('are refused if two overlap: %j and %j', (one, two) => {
    const [kind] = Object.keys(one)
    const message = new RegExp(
      `simulation\\.curriculum\\.2\\.${kind}: overlaps simulation\\.curriculum\\.0 \\(expected ranges of liver without`,
    )
    expect(() => listed(one, { organ: 'kidney', ...one }, two)).toThrow(message)
    expect(() => listed(two, { organ: 'kidney', ...two }, one)).toThrow(message)
    const { simulation, ...config } = listed(one)
    const twice = { ...simulation, curriculum: [...simulation.curriculum!, ...simulation.curriculum!] }
    expect(() => checkPainting({ ...config, simulation: twice }, 'run.yaml')).toThrow(/overlaps/)
  })

  it('may touch, have gaps, and be equal in other organs or kinds', () => {
    expect(() =>
      listed(
        { diameterMm: [10, 20] },
        { diameterMm: [5, 10] },
        { diameterMm: [50, null] },
        { organ: 'kidney', diameterMm: [5, 10] },
        { depthMm: [5, 10] },
        { contrastHu: [null, -60] },
        { contrastHu: [-60, -20] },
        { contrastHu: [20, null] },
      ),
    ).not.toThrow()
  })
})

describe('an aimed contrast', () => {
  const contrast = { contrastHu: [-60, -20] }
  const baseline = { checkpoint: 'b.pt' }
  const refusal =
    /simulation\.curriculum\.0\.contrastHu: not possible with a generator.*\(expected networks\.generator: null\)/

  it('is refused with a generator, in trainings and in other painting', () => {
    const generator = { checkpoint: 'g.pt' }
    for (const job of ['segmentation', 'synthesis'])
      expect(() => resolved(contrast, { job, networks: { baseline, generator } })).toThrow(refusal)
    const { simulation, ...config } = resolved(
      { depthMm: [0, 5] },
      { job: 'segmentation', networks: { baseline, generator } },
    )
    expect(() => checkPainting({ ...config, simulation }, 'run.yaml')).not.toThrow()
    const aimed = { ...simulation, curriculum: resolved(contrast).simulation.curriculum }
    expect(() => checkPainting({ ...config, simulation: aimed }, 'run.yaml')).toThrow(refusal)
  })

  it('is accepted for hand-crafted tumors, and where no tumor is painted', () => {
    expect(() =>
      resolved(contrast, { job: 'segmentation', networks: { baseline, generator: null } }),
    ).not.toThrow()
    expect(() => resolved(contrast)).not.toThrow()
  })
})

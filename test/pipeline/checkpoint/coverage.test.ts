import { describe, expect, test } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { ConfigInput, RunConfig } from '../../../src/config/schema.js'
import { CheckpointError, ConfigError } from '../../../src/errors.js'
import {
  covers,
  plannedOrgans,
  refuseBlindBaseline,
  refuseBlindTraining,
  refuseWrongGenerator,
  tumorCoverage,
} from '../../../src/pipeline/checkpoint/coverage.js'
import { wantedWeights } from '../../../src/pipeline/train/weights.js'
import { LABEL_SCHEMES, type Organ } from '../../../src/volume/labels.js'
import { checkpointFacts, generatorFacts, lacking, segmentorFacts } from '../../helpers/checkpoint-facts.js'

function config(changes: Partial<ConfigInput> & Pick<ConfigInput, 'job'>): RunConfig {
  return resolveConfig({
    region: 'abdomen',
    name: 'test',
    data: { datasets: [{ name: 'BTCV' }] },
    ...changes,
  })
}

const plan = (changes: Parameters<typeof config>[0]) => wantedWeights(config(changes))
const synthesis = plan({ job: 'synthesis', networks: { baseline: { checkpoint: 'b.pt' } } })
const liverOnly = plan({
  job: 'segmentation',
  training: { target: 'lits', task: 'freesyn' },
  networks: { baseline: { checkpoint: 'b.pt' }, generator: { checkpoint: 'g.pt' } },
})
const chest = plan({ job: 'synthesis', region: 'chest', networks: { baseline: { checkpoint: 'b.pt' } } })

describe('the organs that tumors go to', () => {
  const names = (organs: readonly Organ[]) => organs.map(({ name }) => name)

  test('are those of the target with a weight', () => {
    expect(names(synthesis.organs)).toEqual(['liver', 'pancreas', 'kidney'])
    expect(names(liverOnly.organs)).toEqual(['liver'])
    expect(names(chest.organs)).toEqual(['lung'])
    const { organs } = LABEL_SCHEMES.abdomen
    expect(names(plannedOrgans(organs, { liver: 1, kidney: 0 }))).toEqual(['liver'])
  })
})

describe('what a segmentor sees', () => {
  test.each([
    [7, { named: ['liver', 'pancreas', 'kidney'], unnamed: 0 }],
    [3, { named: [], unnamed: 1 }],
    [2, { named: [], unnamed: 1 }],
  ])('goes by its %i outputs where the file names none', (outputs, coverage) => {
    expect(tumorCoverage(checkpointFacts([segmentorFacts(outputs)]))).toEqual(coverage)
  })

  test('goes by the label names of a file of ours', () => {
    const metadata = { labelNames: ['background', 'liver', 'liver tumor'] }
    const facts = checkpointFacts([segmentorFacts(3)], { metadata })
    expect(tumorCoverage(facts)).toEqual({ named: ['liver'], unnamed: 0 })
    expect(covers(tumorCoverage(facts), ['liver'])).toBe(true)
    expect(covers(tumorCoverage(facts), ['pancreas'])).toBe(false)
  })
})

describe('a baseline', () => {
  test.each([
    ['7 outputs for three organs', synthesis, 7],
    ['7 outputs for one organ', liverOnly, 7],
    ['3 outputs without names for one organ', liverOnly, 3],
    ['2 outputs for the chest', chest, 2],
  ] as const)('with %s is taken', (_, run, outputs) => {
    expect(() => refuseBlindBaseline(run, checkpointFacts([segmentorFacts(outputs)]))).not.toThrow()
  })

  test.each([
    [
      '3 outputs for three organs',
      synthesis,
      3,
      /tumor outputs 2 \(not named\) do not cover the planned organs liver, pancreas, kidney/,
    ],
    ['2 outputs for three organs', synthesis, 2, /tumor outputs 1 .* do not cover/],
    [
      'the outputs of the abdomen for the chest',
      chest,
      7,
      /2, 4, 6 \(liver, pancreas, kidney\) do not cover the planned organs lung/,
    ],
    ['5 outputs that say nothing', liverOnly, 5, /holds no segmentor with known tumor outputs/],
  ] as const)('with %s is refused', (_, run, outputs, said) => {
    const refused = () => refuseBlindBaseline(run, checkpointFacts([segmentorFacts(outputs)]))
    expect(refused).toThrow(CheckpointError)
    expect(refused).toThrow(said)
  })

  test('that is another organ’s, by its names, is refused', () => {
    const metadata = { labelNames: ['background', 'pancreas', 'pancreas tumor'] }
    const facts = checkpointFacts([segmentorFacts(3)], { metadata })
    expect(() => refuseBlindBaseline(liverOnly, facts)).toThrow(
      /2 \(pancreas\) do not cover the planned organs liver/,
    )
  })

  test('that is not whole, or no segmentor, is refused', () => {
    const torn = checkpointFacts([
      segmentorFacts(7, { ...lacking('a', 'b'), unexpected: 1, unexpectedKeys: ['c'] }),
    ])
    expect(() => refuseBlindBaseline(synthesis, torn)).toThrow(
      /given\.pt: 2 missing \(a, b\); 1 unexpected \(c\)/,
    )
    const generator = checkpointFacts([generatorFacts(3)])
    expect(() => refuseBlindBaseline(synthesis, generator)).toThrow(
      /holds no segmentor .* \(found a generator\)/,
    )
  })

  test('without a stated patch-merging order is refused unless the configuration states it', () => {
    const patchMerging = { order: null, assumed: false, needed: true } as const
    const facts = checkpointFacts([segmentorFacts(7)], { patchMerging })
    expect(() => refuseBlindBaseline(synthesis, facts)).toThrow(ConfigError)
    const told = plan({
      job: 'synthesis',
      networks: { baseline: { checkpoint: 'b.pt', patchMerging: 'legacy' } },
    })
    expect(() => refuseBlindBaseline(told, facts)).not.toThrow()
  })

  test('is not even trained when it could not see the planned tumors', () => {
    const { organs } = LABEL_SCHEMES.abdomen
    const pancreas = organs.filter(({ name }) => name === 'pancreas')
    expect(() => refuseBlindTraining(synthesis, pancreas, 'b.yaml')).toThrow(
      /b\.yaml does not train on all planned organs \(expected liver, pancreas, kidney, found pancreas\)/,
    )
    expect(() => refuseBlindTraining(liverOnly, organs, 'b.yaml')).not.toThrow()
  })
})

describe('a generator', () => {
  const byOrgan = plan({
    job: 'segmentation',
    training: { target: 'kits', task: 'freesyn' },
    networks: { baseline: { checkpoint: 'b.pt' }, generator: { checkpoint: 'g.pt', channel: 'organ' } },
  })
  const channelMode = { mode: 'shared', assumed: true, untouchedOutputs: [1, 2] } as const

  test('with an output for each planned organ is taken without a word', () => {
    expect(refuseWrongGenerator(byOrgan, checkpointFacts([generatorFacts(3)]))).toBeNull()
  })

  test('whose output for the organ looks untrained is taken with a warning that advises the shared channel', () => {
    const warning = refuseWrongGenerator(byOrgan, checkpointFacts([generatorFacts(3)], { channelMode }))
    expect(warning).toMatch(/outputs for kidney look untrained; set .*channel: shared/)
    expect(refuseWrongGenerator(liverOnly, checkpointFacts([generatorFacts(3)], { channelMode }))).toBeNull()
  })

  test('without an output for an organ, torn, or none at all, is refused', () => {
    expect(() => refuseWrongGenerator(byOrgan, checkpointFacts([generatorFacts(1)]))).toThrow(
      /no output is for kidney \(found 1 output\)/,
    )
    const torn = checkpointFacts([generatorFacts(3, lacking('a'))])
    expect(() => refuseWrongGenerator(byOrgan, torn)).toThrow(/given\.pt: 1 missing \(a\)/)
    expect(() => refuseWrongGenerator(byOrgan, checkpointFacts([segmentorFacts(7)]))).toThrow(
      /holds no generator \(found a SwinUNETR\)/,
    )
  })
})

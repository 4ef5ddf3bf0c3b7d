import { expect, test } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { RunConfig } from '../../../src/config/schema.js'
import { checkpointHints } from '../../../src/pipeline/checkpoint/hints.js'
import type { CheckpointFacts, NetworkFacts } from '../../../src/pipeline/ports/checkpoint.js'
import { checkpointFacts, generatorFacts, lacking, segmentorFacts } from '../../helpers/checkpoint-facts.js'

const specialist = resolveConfig({
  job: 'segmentation',
  region: 'abdomen',
  name: 'test',
  data: { datasets: [{ name: 'BTCV' }] },
  training: { target: 'lits', task: 'freesyn' },
  networks: {
    baseline: { checkpoint: 'b.pt' },
    generator: { checkpoint: 'g.pt' },
    segmentor: { kind: 'swinunetr', featureSize: 48 },
  },
})

const said = (facts: CheckpointFacts, config: RunConfig | null = null): string =>
  checkpointHints(facts, config).join('\n')

test('a valid file has no hints', () => {
  expect(checkpointHints(checkpointFacts([segmentorFacts(3)]), specialist)).toEqual([])
})

test('an untrained channel is reported with the hint to share one', () => {
  const untouched = (untouchedOutputs: number[]): string =>
    said(
      checkpointFacts([generatorFacts(3)], {
        channelMode: { mode: 'organ', assumed: false, untouchedOutputs },
      }),
    )
  expect(untouched([1, 2])).toBe(
    'channels 1 and 2 of the generator look untrained: use the generator with channel: shared',
  )
  expect(untouched([2])).toMatch(/^channel 2 of the generator/)
  expect(untouched([0, 1, 2])).toBe('no output of the generator looks trained')
  expect(untouched([])).toBe('')
})

test('a number of outputs, a size or a preparation other than configured is reported', () => {
  const metadata = { region: 'abdomen', windowHu: [-100, 240], spacingMm: [1.5, 1.5, 1.5] }
  const facts = checkpointFacts([segmentorFacts(7, { width: 24 })], {
    metadata,
    patchMerging: { order: 'legacy', assumed: true, needed: false },
  })
  const text = said(facts, specialist)
  expect(text).toContain('wrong number of outputs (job segmentation with target lits expects 3, found 7)')
  expect(text).toContain('wrong feature size (the config expects 48, found 24)')
  expect(text).toContain('wrong windowHu (the config expects [-175,250], found [-100,240])')
  expect(text).toContain('wrong patch-merging order (the config expects corrected, found legacy)')
  expect(text).not.toContain('spacingMm')
  expect(said(checkpointFacts([generatorFacts(3, { width: 8 })]), specialist)).toContain(
    'wrong base channels (the config expects 32, found 8)',
  )
})

test('a file that cannot be the baseline of the run is reported with the reason', () => {
  const metadata = { labelNames: ['background', 'pancreas', 'pancreas tumor'] }
  expect(said(checkpointFacts([segmentorFacts(3)], { metadata }), specialist)).toMatch(
    /it cannot be the baseline of this run: .* do not cover the planned organs liver/,
  )
})

test('an order that must be stated comes with the ways to find it', () => {
  const patchMerging = { order: null, assumed: false, needed: true } as const
  expect(said(checkpointFacts([segmentorFacts(7)], { patchMerging }))).toMatch(
    /--merging .*--probe IMAGE LABELS/,
  )
})

test.each([
  [
    'no head',
    { ...lacking('out.conv.conv.weight'), outputs: null },
    /whole but for its head.*initialWeights/,
  ],
  [
    'an encoder alone',
    { ...lacking('encoder1.layer.conv1.conv.weight'), outputs: null },
    /is the encoder of a SwinUNETR.*initialWeights/,
  ],
  [
    'a known cause',
    { ...lacking('swinViT.layers1c.a'), causes: ['SwinUNETR without use_v2'] },
    /^network: SwinUNETR without use_v2$/,
  ],
  ['a missing tensor', lacking('encoder1.layer.conv1.conv.weight'), /lacks 1 tensor of its swinunetr/],
  ['unknown outputs', { outputs: 14, tumorOutputs: null }, /has 14 outputs of unknown labels/],
  [
    'another project',
    { architecture: null, family: 'an nnU-Net' },
    /^network is an nnU-Net, which freetumor cannot use$/,
  ],
])('a segmentor with %s is reported as that', (_, changes: Partial<NetworkFacts>, expected) => {
  expect(said(checkpointFacts([segmentorFacts(2, changes)]))).toMatch(expected)
})

test('an unknown network is compared with the published ones', () => {
  const against = {
    unet3d: { matched: 0, missing: 106, unexpected: 9 },
    swinunetr: { matched: 9, missing: 158, unexpected: 0 },
  }
  const network = segmentorFacts(7, {
    architecture: null,
    width: null,
    outputs: null,
    tumorOutputs: null,
    against,
  })
  expect(said(checkpointFacts([network]))).toMatch(
    /no network that is known; closest is swinunetr with 9 tensors/,
  )
})

test('weights that are not finite are reported, and a file without a hash', () => {
  const facts = checkpointFacts([segmentorFacts(7, { notFinite: ['a', 'b'] })], { verifiedBy: 'nothing' })
  expect(said(facts)).toMatch(/NaN or infinity in 2 tensors, first in a\n.*compare its sha256 yourself/)
})

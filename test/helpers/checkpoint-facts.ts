import type { CheckpointFacts, NetworkFacts } from '../../src/pipeline/ports/checkpoint.js'

/** A whole segmentor with these outputs; the published numbers of outputs say which are tumors. */
export function segmentorFacts(outputs: number, changes: Partial<NetworkFacts> = {}): NetworkFacts {
  const tumors: Record<number, number[]> = { 7: [2, 4, 6], 3: [2], 2: [1] }
  return {
    name: 'network',
    architecture: 'swinunetr',
    width: 48,
    outputs,
    tumorOutputs: tumors[outputs] ?? null,
    family: null,
    causes: [],
    matched: 167,
    missing: 0,
    unexpected: 0,
    missingKeys: [],
    unexpectedKeys: [],
    otherShapes: [],
    against: {},
    notFinite: [],
    ...changes,
  }
}

/** What a network without these tensors has in its facts. */
export function lacking(...missingKeys: readonly string[]): Partial<NetworkFacts> {
  return { missing: missingKeys.length, missingKeys }
}

/** A whole generator. */
export function generatorFacts(outputs: number, changes: Partial<NetworkFacts> = {}): NetworkFacts {
  return {
    ...segmentorFacts(outputs),
    name: 'netG',
    architecture: 'unet3d',
    width: 32,
    tumorOutputs: null,
    matched: 106,
    ...changes,
  }
}

/**
 * Facts of a file that freetumor wrote; nothing about it is assumed or missing unless `changes` say so.
 * `metadata: null` makes it a file of others.
 */
export function checkpointFacts(
  networks: readonly NetworkFacts[],
  changes: Partial<CheckpointFacts> = {},
): CheckpointFacts {
  return {
    path: 'given.pt',
    format: 'pt',
    kind: networks[0]?.architecture === 'unet3d' ? 'generator' : 'baseline',
    networks,
    patchMerging: { order: 'corrected', assumed: false, needed: false },
    channelMode: { mode: null, assumed: false, untouchedOutputs: [] },
    wrapper: 'state_dict',
    prefixes: [],
    renamed: {},
    skipped: [],
    epoch: null,
    training: {},
    metadata: {},
    tensors: { count: 0, values: 0, bytes: 0, dtypes: {}, shapes: {} },
    bytes: 0,
    sha256: '0'.repeat(64),
    verifiedBy: 'crc32',
    ...changes,
  }
}

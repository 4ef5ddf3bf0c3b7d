import type { CheckpointFacts, NetworkFacts } from '../ports/checkpoint.js'

const MOST_NAMES = 3

/** Whether a network has each tensor of its architecture in its shape, and no other. */
export function isWhole({ missing, unexpected, otherShapes }: NetworkFacts): boolean {
  return missing === 0 && unexpected === 0 && otherShapes.length === 0
}

/** Return how the tensors of a network differ from its architecture: the known causes, then names, at most three a list. */
export function differences({
  causes,
  missingKeys,
  unexpectedKeys,
  otherShapes,
}: NetworkFacts): readonly string[] {
  const shapes = otherShapes.map(
    ({ key, shape, expected }) => `${key} ${sides(shape)} for ${sides(expected)}`,
  )
  return [
    ...causes,
    ...counted('missing', missingKeys),
    ...counted('unexpected', unexpectedKeys),
    ...counted('of another shape', shapes),
  ]
}

/** Return what the networks are, in words; networks of other projects by their families. */
export function kindsOf(networks: readonly NetworkFacts[]): string {
  const names = {
    unet3d: 'a generator',
    swinunetr: 'a SwinUNETR',
    resenc: 'a residual nnU-Net',
    unet: 'a plain nnU-Net',
    small: 'a small segmentor',
  }
  const kinds = networks.map(({ architecture, family }) =>
    architecture === null ? (family ?? 'an unknown network') : names[architecture],
  )
  return [...new Set(kinds)].join(', ')
}

/** Return what was dropped, renamed and skipped when the file was read; null for nothing. */
export function readingOf({ prefixes, renamed, skipped }: CheckpointFacts): string | null {
  const parts = [
    ...(prefixes.length > 0 ? [`prefixes dropped: ${prefixes.join(', ')}`] : []),
    ...Object.entries(renamed).map(([old, name]) => `${old} read as ${name}`),
    ...(skipped.length > 0 ? [`skipped: ${skipped.join(', ')}`] : []),
  ]
  return parts.length === 0 ? null : parts.join('; ')
}

function counted(what: string, names: readonly string[]): string[] {
  if (names.length === 0) return []
  const shown = names.slice(0, MOST_NAMES).join(', ')
  return [`${names.length} ${what} (${shown}${names.length > MOST_NAMES ? ', ...' : ''})`]
}

function sides(shape: readonly number[]): string {
  return shape.length === 0 ? 'scalar' : shape.join(' x ')
}

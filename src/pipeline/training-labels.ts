import type { RunConfig } from '../config/schema.js'
import { LABEL_SCHEMES, type LabelScheme, type Organ, type OrganName } from '../volume/labels.js'

const TARGET_ORGANS: Readonly<Record<RunConfig['training']['target'], OrganName | null>> = {
  all: null,
  lits: 'liver',
  panc: 'pancreas',
  kits: 'kidney',
  covid: 'lung',
}

/** The label ids a segmentor learns: all of the region, or background, organ, tumor of one organ (docs/method.md 10). */
export interface TrainingLabels {
  /** Region id -> training id. */
  readonly map: readonly number[]
  readonly names: readonly string[]
  readonly tumorIds: readonly number[]
  readonly organs: readonly Organ[]
}

/** The parts of a configuration that decide the labels. */
export interface LabelSettings {
  readonly region: RunConfig['region']
  readonly training: Pick<RunConfig['training'], 'target'>
}

export function trainingLabels({ region, training }: LabelSettings): TrainingLabels {
  const scheme = LABEL_SCHEMES[region]
  const organName = TARGET_ORGANS[training.target]
  if (organName === null) return region === 'chest' ? lesionOnly(scheme) : wholeScheme(scheme)
  const organ = scheme.organs.find((candidate) => candidate.name === organName)!
  const map = scheme.names.map((_, id) => (id === organ.label ? 1 : id === organ.tumorLabel ? 2 : 0))
  return {
    map,
    names: ['background', organ.name, scheme.names[organ.tumorLabel]!],
    tumorIds: [2],
    organs: [organ],
  }
}

function wholeScheme(scheme: LabelScheme): TrainingLabels {
  return {
    map: scheme.names.map((_, id) => id),
    names: scheme.names,
    tumorIds: scheme.organs.map((organ) => organ.tumorLabel),
    organs: scheme.organs,
  }
}

/** Return the labels of the chest baseline: background and lesion only (docs/method.md 8). */
function lesionOnly(scheme: LabelScheme): TrainingLabels {
  const lung = scheme.organs[0]!
  return {
    map: scheme.names.map((_, id) => (id === lung.tumorLabel ? 1 : 0)),
    names: ['background', scheme.names[lung.tumorLabel]!],
    tumorIds: [1],
    organs: scheme.organs,
  }
}

import type { PredictSettings } from '../../config/predict-settings.js'
import { UsageError } from '../../errors.js'
import type { PredictSpec } from '../ports/cases.js'
import type { ScanCase } from './cases.js'
import type { PredictInputs } from './settings.js'
import type { PredictWeights } from './weights.js'

/** Return the complete settings of a prediction, as Python receives them. */
export function predictSpec(
  options: PredictInputs,
  settings: PredictSettings,
  weights: PredictWeights,
  out: string,
  scans: readonly ScanCase[],
): PredictSpec {
  const { overlap, blend, windowBatch, map, ...rest } = settings
  const { windowHu, spacingMm, patchVoxels, outputs, tumorOutputs } = weights
  return {
    job: 'predict',
    directory: out,
    members: weights.members.map(({ checkpoint, patchMerging }) => ({ checkpoint, patchMerging })),
    device: options.device ?? 'auto',
    processesPerNode: options.processes ?? 1,
    threadsPerProcess: options.threadsPerProcess ?? 1,
    windowHu,
    spacingMm,
    patchVoxels,
    windows: { overlap, blend, windowBatch },
    ...rest,
    tumorOutputs,
    organIds: options.organIds ?? [],
    maskIds: maskIds(map, outputs, tumorOutputs),
    probabilities: wantedOutputs(options.probabilities, outputs),
    cases: scans.map((scan) => ({ ...scan, name: scan.id })),
  }
}

/** Return the id in the mask of each output. */
export function maskIds(
  map: PredictSettings['map'],
  outputs: number,
  tumorOutputs: readonly number[],
): readonly number[] {
  const ids = [...Array(outputs).keys()]
  if (map === null) return ids
  if (map === 'leaderboard') {
    if (tumorOutputs.length === 0)
      throw new UsageError('--map leaderboard: the checkpoint does not state its tumor outputs', {
        hint: 'pass --map from:to,...',
      })
    return ids.map((id) => Number(tumorOutputs.includes(id)))
  }
  const strange = Object.entries(map).find(([from, to]) => !(Number(from) in ids) || to > 255)
  if (strange)
    throw new UsageError(`--map ${strange.join(':')}: the checkpoint has outputs 0 to ${outputs - 1}`, {
      hint: 'map these outputs to ids from 0 to 255',
    })
  return ids.map((id) => map[String(id)] ?? id)
}

function wantedOutputs(wanted: PredictInputs['probabilities'], outputs: number): readonly number[] {
  const all = [...Array(outputs).keys()]
  if (wanted === undefined) return []
  if (wanted === 'all') return all
  const strange = wanted.find((output) => !(output in all))
  if (strange !== undefined)
    throw new UsageError(`--probabilities ${strange}: the checkpoint has outputs 0 to ${outputs - 1}`, {
      hint: 'name outputs of the checkpoint, or `all`',
    })
  return [...new Set(wanted)]
}

import type { PredictSettings } from '../../config/predict-settings.js'
import { UsageError } from '../../errors.js'
import { plainLabelName } from '../../volume/labels.js'
import { type OpenedOperatingPoint, operatingPointSpec } from '../operating-point.js'
import type { PredictSpec } from '../ports/cases.js'
import type { ScanCase } from './cases.js'
import { glanceSpec } from './glance.js'
import type { PredictInputs } from './settings.js'
import type { PredictWeights } from './weights.js'

/** Return the complete settings of a prediction, as Python receives them. */
export function predictSpec(
  options: PredictInputs,
  settings: PredictSettings,
  weights: PredictWeights,
  out: string,
  scans: readonly ScanCase[],
  point: OpenedOperatingPoint | null = null,
  glance: PredictWeights | null = null,
): PredictSpec {
  const { overlap, blend, windowBatch, windows: windowChoice, map, ...rest } = settings
  const { windowHu, spacingMm, patchVoxels, tumorOutputs } = weights
  const ids = maskIds(map, weights)
  return {
    job: 'predict',
    directory: out,
    members: weights.members.map(({ checkpoint, patchMerging }) => ({
      checkpoint,
      patchMerging,
      weights: options.weights ?? null,
    })),
    plugin: options.plugin ?? null,
    device: options.device ?? 'auto',
    processesPerNode: options.processes ?? 1,
    threadsPerProcess: options.threadsPerProcess ?? 1,
    windowHu,
    spacingMm,
    patchVoxels,
    windows: { overlap, blend, windowBatch },
    windowChoice,
    ...rest,
    tumorOutputs,
    organIds: options.organIds ?? [],
    maskIds: ids,
    probabilities: wantedOutputs(options.probabilities, weights),
    cases: scans.map((scan) => ({ ...scan, name: scan.id })),
    operatingPoint: point && operatingPointSpec(point, tumorIdsOf(ids, tumorOutputs)),
    glance: glance && glanceSpec(glance),
  }
}

type Outputs = Pick<PredictWeights, 'outputs' | 'tumorOutputs' | 'labelNames'>

/**
 * Return the ids of a mask that are tumors.
 * @throws UsageError if there are none, or if one is that of another output too
 */
function tumorIdsOf(ids: readonly number[], tumorOutputs: readonly number[]): number[] {
  const tumors = [...new Set(tumorOutputs.map((output) => ids[output]!))].filter((id) => id > 0)
  const shared = tumors.find((id) => ids.some((one, output) => one === id && !tumorOutputs.includes(output)))
  if (tumors.length > 0 && shared === undefined) return tumors
  const found = shared === undefined ? 'none' : `${shared}, which another output has too`
  throw new UsageError(`--operating-point: wrong mask (expected ids of tumors alone, found ${found})`, {
    hint: 'correct --map',
  })
}

/** Return the id in the mask of each output. */
export function maskIds(map: PredictSettings['map'], weights: Outputs): readonly number[] {
  const ids = [...Array(weights.outputs).keys()]
  if (map === null) return ids
  if (map === 'leaderboard') {
    if (weights.tumorOutputs.length === 0)
      throw new UsageError('--map leaderboard: the checkpoint does not state its tumor outputs', {
        hint: 'pass --map output:id,...',
      })
    return ids.map((id) => Number(weights.tumorOutputs.includes(id)))
  }
  const mapped = new Map<number, number>()
  for (const [source, id] of Object.entries(map)) {
    const output = outputOf('--map', source, weights)
    if (id > 255)
      throw new UsageError(`--map: wrong id (expected 0 to 255, found ${id})`, { hint: 'correct the map' })
    if (mapped.has(output))
      throw new UsageError(`--map: output ${output} has two ids (${mapped.get(output)} and ${id})`, {
        hint: 'give each output one id',
      })
    mapped.set(output, id)
  }
  return ids.map((id) => mapped.get(id) ?? id)
}

function wantedOutputs(wanted: PredictInputs['probabilities'], weights: Outputs): readonly number[] {
  if (wanted === undefined) return []
  if (wanted === 'all') return [...Array(weights.outputs).keys()]
  return [...new Set(wanted.map((output) => outputOf('--probabilities', String(output), weights)))]
}

/** Return the output of a number, or of a name that the checkpoint gives its outputs. */
function outputOf(flag: string, wanted: string, { outputs, labelNames }: Outputs): number {
  const isNumber = /^\d+$/.test(wanted)
  if (!isNumber && labelNames === null)
    throw new UsageError(`${flag}: the checkpoint does not name its outputs (found ${wanted})`, {
      hint: `write the number of the output, 0 to ${outputs - 1}`,
    })
  const output = isNumber ? Number(wanted) : labelNames!.map(plainLabelName).indexOf(plainLabelName(wanted))
  if (output >= 0 && output < outputs) return output
  const names = labelNames === null ? '' : `, or ${labelNames.join(', ')}`
  throw new UsageError(
    `${flag}: no such output of the checkpoint (expected 0 to ${outputs - 1}${names}, found ${wanted})`,
    { hint: 'write a number or a name of that list' },
  )
}

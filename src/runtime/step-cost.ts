import type { TrainingSpec } from '../pipeline/ports/training.js'
import { resolvePython } from './python.js'
import { callPython } from './pythonia.js'

/** Measured cost of the reproducible mode; mirrors python_runtime/freetumor_runtime/training/step_cost.py. */
export interface StepCost {
  /** Seconds per step of the learning networks, on noise. */
  readonly seconds: { readonly default: number; readonly reproducible: number }
  readonly patchVoxels: readonly number[]
  readonly items: number
  readonly cropsPerVolume: number
  readonly device: string
  /** Bytes of the exact sums in the memory of each rank, and bytes sent to other ranks in each step. */
  readonly sumBytes: number
}

/** Enough for the published sizes on a slow CPU. */
const TIMEOUT_MS = 900_000

/**
 * Measure a few steps of the training's networks in a separate Python.
 * @throws EnvironmentError if there is no Python to start
 */
export async function measureStepCost(spec: TrainingSpec, python: string | null): Promise<StepCost> {
  const found = resolvePython({ explicit: python ?? undefined })
  const fresh = { ...spec, resumeFrom: null }
  return (await callPython(found, 'freetumor_runtime.training.step_cost', 'measure', [fresh], {
    timeoutMs: TIMEOUT_MS,
  })) as StepCost
}

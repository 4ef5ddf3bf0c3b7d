import type { StepCost } from '../pipeline/ports/launch-plan.js'
import type { TrainingSpec } from '../pipeline/ports/training.js'
import { resolvePython } from './python.js'
import { callPython } from './pythonia.js'

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

import type { NodePlace } from './common.js'
import type { TrainingSpec } from './training.js'

/** Command and environment that would start the ranks of a job. Values of a single start are in angle brackets. */
export interface LaunchPlan {
  readonly argv: readonly string[]
  /** Variables that override the environment of this process. */
  readonly environment: Readonly<Record<string, string>>
  /** Variables of this process that the ranks do not get: those of other launchers and other Pythons. */
  readonly removed: readonly string[]
}

export interface LaunchSettings {
  readonly python: string | null
  readonly ranks: number
  readonly threads: number
  readonly logDirectory: string
  /** Place among several nodes that train together. */
  readonly place?: NodePlace | undefined
  readonly hangSeconds?: number | null | undefined
}

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

/** Part of the runtime that plans use. */
export interface LaunchPlanner {
  /** @throws EnvironmentError if there is no Python to start */
  plan(settings: LaunchSettings): LaunchPlan
  /** Measure a few steps of the networks of a training, in a Python process of its own. */
  stepCost(spec: TrainingSpec, python: string | null): Promise<StepCost>
}

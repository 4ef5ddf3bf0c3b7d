import { join, resolve } from 'node:path'
import type { RunConfig } from '../../config/schema.js'
import { threadsOf } from '../../usable-processors.js'
import type { LaunchPlan, LaunchPlanner, StepCost } from '../ports/launch-plan.js'
import { planTraining, specOfPlan, type TrainingPlan } from './run.js'

export interface PlanOptions {
  /** The run directory that `train` would use; default `runs/<name>/ID`. */
  readonly out?: string | undefined
  /** Rank of this node if `runtime.nodes` is more than 1; default 0. */
  readonly nodeRank?: number | undefined
  /** Rendezvous of the nodes, HOST:PORT of node 0; default a placeholder. */
  readonly rendezvous?: string | undefined
  /** False: do not measure the cost of `runtime.reproducible`, which runs a few steps on noise. Default true. */
  readonly measure?: boolean | undefined
}

/** Plan of a training with the command that would start its ranks on this node. */
export interface RunPlan extends TrainingPlan {
  /** Measured cost of `runtime.reproducible`; null if that is off or not measured. */
  readonly reproducible: StepCost | null
  /** The run directory. */
  readonly run: string
  readonly launch: LaunchPlan
}

/**
 * Plan a training: counts, estimates, command and environment. Nothing is written or started.
 * @throws EnvironmentError if there is no Python to start
 */
export async function planLaunchedTraining(
  config: RunConfig,
  planner: LaunchPlanner,
  options: PlanOptions = {},
): Promise<RunPlan> {
  const { nodeRank = 0, rendezvous = '<host:port>', measure = true } = options
  const run = resolve(options.out ?? join('runs', config.name, 'ID'))
  const plan = await planTraining(config)
  const { nodes, processesPerNode, python, hangSeconds, reproducible } = config.runtime
  const launch = planner.plan({
    python,
    ranks: processesPerNode,
    threads: threadsOf(config.runtime).threads,
    logDirectory: join(run, 'logs'),
    place: { nodes, nodeRank, rendezvous },
    hangSeconds,
  })
  const cost = reproducible && measure ? await planner.stepCost(specOfPlan(config, run), python) : null
  return { ...plan, reproducible: cost, run, launch }
}

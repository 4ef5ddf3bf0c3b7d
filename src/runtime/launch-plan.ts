import type { LaunchPlan, LaunchPlanner, LaunchSettings } from '../pipeline/ports/launch-plan.js'
import { isOnlyRank, ONLY_RANK, parentDeathPrefix, RANK_STORE, runtimeArgv } from './process.js'
import { cleanEnvironment, resolvePython } from './python.js'
import { rendezvousOf } from './rendezvous.js'
import { measureStepCost } from './step-cost.js'

/** Return the launch of a job without starting it. @throws EnvironmentError if there is no Python to start */
export function planLaunch(settings: LaunchSettings): LaunchPlan {
  const { python, ranks, threads, logDirectory, place, hangSeconds = null } = settings
  const found = resolvePython({ explicit: python ?? undefined })
  const clean = cleanEnvironment({ threads })
  const rendezvous = rendezvousOf(place, hangSeconds)
  return {
    argv: [...parentDeathPrefix(), ...runtimeArgv(found, ranks, logDirectory, '<job.json>', rendezvous)],
    environment: {
      // only variables that do not depend on this process, so that a plan is the same everywhere
      ...cleanEnvironment({ threads, env: {} }),
      FREETUMOR_RUN_ID: '<run id>',
      FREETUMOR_CONTROL: 'unix:<private folder>/control.sock',
      FREETUMOR_FEED: 'ipc://<private folder>/feed.sock',
      FREETUMOR_TOKEN: '<random>',
      FREETUMOR_LOG_DIRECTORY: logDirectory,
      ...(isOnlyRank(ranks, rendezvous) ? ONLY_RANK : {}),
      ...(rendezvous ? {} : { FREETUMOR_STORE: `<private folder>/${RANK_STORE}` }),
    },
    removed: Object.keys(process.env)
      .filter((name) => !(name in clean))
      .sort(),
  }
}

/** The planner of torchrun. */
export const launchPlanner: LaunchPlanner = { plan: planLaunch, stepCost: measureStepCost }

import type { NodePlace } from '../pipeline/ports/common.js'
import { parentDeathPrefix, RANK_STORE, runtimeArgv } from './process.js'
import { cleanEnvironment, resolvePython } from './python.js'
import { rendezvousOf } from './rendezvous.js'

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
      ...(rendezvous ? {} : { FREETUMOR_STORE: `<private folder>/${RANK_STORE}` }),
    },
    removed: Object.keys(process.env)
      .filter((name) => !(name in clean))
      .sort(),
  }
}

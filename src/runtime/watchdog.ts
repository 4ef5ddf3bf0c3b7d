import { setTimeout } from 'node:timers/promises'
import type { FreetumorError } from '../errors.js'
import { explainHang } from './failure.js'
import type { RuntimeProcess } from './process.js'

/** A started job, as far as its watchdog needs it. */
interface WatchedJob {
  readonly process: RuntimeProcess
  readonly logDirectory: string
  /** Rank of this node. */
  readonly node: number
}

export interface Watchdog {
  /** The job has given a sign. */
  sign(): void
  /** The job has started: from now on its own limit holds. */
  started(): void
  stop(): void
  /** The hang that ended the job, if one did. */
  hang(): Promise<FreetumorError | null>
}

const LOOK_EVERY_MS = 500
/** Imports from a network disk, weights, the first contact of many GPUs: start-up has a limit of its own. */
const START_SECONDS = 1800
/** For the ranks to write where they stand. */
const STACKS_MS = 1500

/** Ends a job that gives no sign for too long; its ranks first write their stacks into their logs. */
export function watchForHang(job: WatchedJob, limit: () => number | null): Watchdog {
  const silence = new Silence(LOOK_EVERY_MS)
  let started = false
  let hung: Promise<FreetumorError> | null = null
  const timer = setInterval(() => {
    const silent = silence.seconds()
    const own = limit()
    if (own === null) return silence.end()
    const seconds = started ? own : Math.max(own, START_SECONDS)
    if (silent <= seconds) return
    clearInterval(timer)
    hung = endHangingJob(job, seconds)
  }, LOOK_EVERY_MS)
  return {
    sign: () => silence.end(),
    started: () => {
      started = true
    },
    stop: () => clearInterval(timer),
    hang: async () => hung,
  }
}

async function endHangingJob(job: WatchedJob, seconds: number): Promise<FreetumorError> {
  const ranks = await job.process.dumpStacks()
  await setTimeout(STACKS_MS)
  await job.process.kill()
  const end = await job.process.ended
  return explainHang({ seconds, logDirectory: job.logDirectory, node: job.node, end, ranks })
}

/**
 * Time without a sign of a job, counted only while this process was itself running: not while it was suspended (Ctrl-Z,
 * SIGSTOP, a paused container) and not while the machine slept.
 */
export class Silence {
  #silentMs = 0
  #lookedAt = performance.now()

  /** @param lookEveryMs how often `seconds` is asked; a longer gap counts as twice this */
  constructor(private readonly lookEveryMs: number) {}

  /** The job has given a sign. */
  end(): void {
    this.#silentMs = 0
  }

  seconds(): number {
    const now = performance.now()
    this.#silentMs += Math.min(now - this.#lookedAt, 2 * this.lookEveryMs)
    this.#lookedAt = now
    return this.#silentMs / 1000
  }
}

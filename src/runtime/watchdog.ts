import { setTimeout } from 'node:timers/promises'
import type { FreetumorError } from '../errors.js'
import { explainHang } from './failure.js'
import type { RuntimeProcess } from './process.js'

/** The parts of a started job that its watchdog needs. */
interface WatchedJob {
  readonly process: RuntimeProcess
  readonly logDirectory: string
  /** Rank of this node. */
  readonly node: number
}

export interface Watchdog {
  /** Record an event of the job. */
  sign(): void
  /** Record that the job has started: from now on its own limit applies. */
  started(): void
  stop(): void
  /** Return the error of the hang that ended the job; null if none did. */
  hang(): Promise<FreetumorError | null>
}

const LOOK_EVERY_MS = 500
/** Limit of the start-up, which may import from a network disk, load weights and connect many GPUs. */
const START_SECONDS = 1800
/** Time for the ranks to write their stacks. */
const STACKS_MS = 1500

/** Watch a job, and end it after too long without an event; its ranks first write their stacks into their logs. */
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
 * Time without an event of a job. It counts only while this process runs: not while it is suspended (Ctrl-Z, SIGSTOP, a
 * paused container) and not while the machine sleeps.
 */
export class Silence {
  #silentMs = 0
  #lookedAt = performance.now()

  /** @param lookEveryMs interval between calls of `seconds`; a longer gap counts as twice this interval */
  constructor(private readonly lookEveryMs: number) {}

  /** Record an event of the job. */
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

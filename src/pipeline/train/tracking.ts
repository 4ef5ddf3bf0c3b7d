import { onAbort } from '../../abort.js'
import { leaves } from '../../config/changes.js'
import { pathsOf } from '../../config/paths.js'
import type { RunConfig } from '../../config/schema.js'
import { UsageError } from '../../errors.js'
import { quoted } from '../../plain-text.js'
import { Feed, type FeedOptions, type Sent } from '../../tracking/feed.js'
import { mlflowTracker } from '../../tracking/mlflow.js'
import { otlpTracker } from '../../tracking/otlp.js'
import { TrackingState } from '../../tracking/state.js'
import type { RunFacts, Tracker } from '../../tracking/tracker.js'
import { readEvents } from '../../training/event-log.js'
import type { FinishedEvent, Outcome } from '../../training/events.js'
import { ownVersion } from '../../training/run-version.js'
import type { StageContext } from '../context.js'
import { TRAINING } from '../locks.js'
import type { ModelRuntime } from '../ports/runtime.js'

type Note = FeedOptions['note']

/** Trackers of a running training. */
export interface RunTracking {
  /** Send the remaining figures within a bounded time; note how to send the rest later. */
  end(outcome: Outcome): Promise<void>
  /** Stop at once, because another process owns the run. */
  abandon(): Promise<void>
}

/** Start to send the figures of a run to the trackers of its configuration. It never fails and never delays the run. */
export function startTracking(
  directory: string,
  config: RunConfig,
  runtime: ModelRuntime,
  options: FeedOptions,
): RunTracking {
  const opening = feedsOf(directory, config, runtime, options).catch((error: Error) => {
    options.note(`tracking: ${error.message}; nothing is sent`, 'warning')
    return []
  })
  return {
    async end(outcome) {
      const all = await Promise.all((await opening).map((feed) => feed.end(outcome)))
      for (const { tracker, step, failure } of all) {
        if (failure === null) continue
        const from = step < 0 ? 'no value is' : `values after step ${step} are not`
        options.note(
          `${tracker}: ${from} sent (${failure.message}); \`freetumor runs sync ${quoted(directory)}\` sends the rest`,
          'warning',
        )
      }
    },
    abandon: async () => void (await Promise.all((await opening).map((feed) => feed.abandon()))),
  }
}

/**
 * Send the figures of an ended run that its trackers do not have.
 * @throws UsageError for a run that is being trained, or whose configuration names no tracker
 */
export async function sendRun(
  directory: string,
  config: RunConfig,
  { runtime, signal, note }: Omit<StageContext, 'logDirectory'>,
): Promise<Sent[]> {
  await using _lock = await runtime.lock(directory, TRAINING)
  const finished = await lastEnd(directory)
  const feeds = await feedsOf(directory, config, runtime, { note })
  if (feeds.length === 0)
    throw new UsageError(`${directory}: its configuration names no tracker`, {
      hint: 'name one with `--set tracking.mlflow=ADDRESS`',
    })
  const release = onAbort(signal, () => {
    for (const feed of feeds) void feed.abandon()
  })
  const sent = await Promise.all(feeds.map((feed) => feed.end(finished?.outcome ?? null, false)))
  release()
  signal?.throwIfAborted()
  return sent
}

async function feedsOf(
  directory: string,
  config: RunConfig,
  runtime: ModelRuntime,
  options: FeedOptions,
): Promise<Feed[]> {
  const trackers = trackersOf(directory, config, runtime, options.note)
  if (trackers.length === 0) return []
  const state = await TrackingState.open(directory)
  return trackers.map((tracker) => new Feed(directory, tracker, state, options))
}

function trackersOf(directory: string, config: RunConfig, runtime: ModelRuntime, note: Note): Tracker[] {
  const { mlflow, otlp, wandb, experiment } = config.tracking
  const facts = factsOf(config)
  return [
    ...(mlflow === null ? [] : [mlflowTracker(mlflow, experiment, facts)]),
    ...(wandb === null ? [] : [runtime.wandb(directory, wandb, facts)]),
    ...(otlp === null ? [] : [otlpTracker(otlp, facts, (text) => note(text, 'warning'))]),
  ]
}

/** Return what trackers receive of a configuration: its seed, and the parts that it names. */
export function factsOf(config: RunConfig): RunFacts {
  const { include } = config.tracking
  const withPaths = include.includes('paths')
  const isIncluded = withPaths || include.includes('config')
  return {
    version: ownVersion(),
    seed: config.seed,
    name: include.includes('name') ? config.name : null,
    config: isIncluded ? textsOf(config, withPaths) : null,
  }
}

/** Sections with paths, case ids, names and addresses. */
const PRIVATE = ['name', 'data', 'cluster', 'tracking', 'simulation.positions']

function textsOf(config: RunConfig, withPaths: boolean): Record<string, string> {
  const hidden = withPaths ? ['cluster', 'tracking'] : [...PRIVATE, ...pathsOf(config).map(({ key }) => key)]
  const shown = [...leaves(config)].filter(
    ([key, value]) => value !== null && !hidden.some((one) => key === one || key.startsWith(`${one}.`)),
  )
  return Object.fromEntries(
    shown.map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  )
}

/** Return the end of a run that no start follows; null for a run whose process was killed. */
async function lastEnd(directory: string): Promise<FinishedEvent | null> {
  let last: FinishedEvent | null = null
  for await (const event of readEvents(`${directory}/events.jsonl`)) {
    if (event.type === 'finished') last = event
    if (event.type === 'started') last = null
  }
  return last
}

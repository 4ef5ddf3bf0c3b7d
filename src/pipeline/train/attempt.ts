import { join } from 'node:path'
import type { QualityPolicy } from '../../quality/policy.js'
import type { Feeder } from '../../sampling/feeder.js'
import { markBest, pruneCheckpoints } from '../../training/checkpoints.js'
import { bestOf, reasonToEnd } from '../../training/selection.js'
import { keepsRun, nodeFile } from '../nodes.js'
import type { RuntimeEvent, StepFeed, TrainingSession, TrainingSpec } from '../ports/training.js'
import { deferred } from './deferred.js'
import { trainingFeed } from './feed.js'
import { openLedger } from './ledger-file.js'
import type { OpenTraining } from './open-training.js'
import { endedSilently } from './restart.js'
import { type CountedCase, recordValidation } from './validation.js'

type EventOf<T extends RuntimeEvent['type']> = Extract<RuntimeEvent, { type: T }>

export type Finished = EventOf<'finished'>

/** The items of a training, and the policy that judges their tumors. */
export interface ItemSource {
  readonly feeder: Feeder
  readonly policy: QualityPolicy
  readonly perEpoch: number
}

/** Run the runtime once, from `firstStep`; ledger and feed start there too. */
export async function attemptTraining(
  run: OpenTraining,
  spec: TrainingSpec,
  firstStep: number,
  { feeder, policy, perEpoch }: ItemSource,
): Promise<Finished> {
  const { config, place, journal, owner } = run
  const { validations } = journal
  // the training ended early, or failed just before it ended
  const over = validations.at(-1)?.step === firstStep && reasonToEnd(validations, config.training.earlyStop)
  if (over) return { type: 'finished', outcome: 'completed', reason: over, step: firstStep }
  const { nodes, processesPerNode } = config.runtime
  const begun = deferred<number>()
  if (keepsRun(place)) begun.resolve(firstStep)
  const path = join(spec.runDirectory, nodeFile('ledger.jsonl', place))
  await using ledger = await openLedger(path, begun.promise, () => owner?.check())
  const feed = trainingFeed({
    config,
    policy,
    feeder,
    ranks: nodes * processesPerNode,
    ranksHere: processesPerNode,
    judges: spec.synthesis !== null,
    ready: ledger.ready,
    onLedger: (line) => ledger.write(line),
    onSynthesis: (event) => journal.emit(event),
  })
  return await followRuntime(run, spec, feed, perEpoch, begun.resolve)
}

/** Record the events of the runtime, from the first to `finished`. */
async function followRuntime(
  run: OpenTraining,
  spec: TrainingSpec,
  feed: StepFeed,
  perEpoch: number,
  begin: (step: number) => void,
): Promise<Finished> {
  await using session = openSession(run, spec, feed)
  run.commands.open(session)
  let counts: CountedCase[] = []
  for await (const event of session.events) {
    switch (event.type) {
      case 'ready':
        await recordStart(run, spec, event, begin)
        break
      case 'stepDone':
        recordStep(run, spec, event, perEpoch)
        break
      case 'validationCase':
        counts.push(event)
        break
      case 'validationDone':
        await answerValidation(run, session, event.step, counts)
        counts = []
        break
      case 'checkpointSaved':
        await recordCheckpoint(run, spec, event)
        break
      case 'note':
        run.journal.emit(event)
        break
      case 'finished':
        run.progress.step = event.step
        return event
    }
  }
  throw endedSilently(run.directory)
}

function openSession(run: OpenTraining, spec: TrainingSpec, feed: StepFeed): TrainingSession {
  return run.runtime.train(spec, feed, {
    signal: undefined,
    logDirectory: join(spec.runDirectory, 'logs'),
    hangSeconds: run.config.runtime.hangSeconds,
    profile: run.options.profile,
    place: run.place ?? undefined,
  })
}

async function recordStart(
  { id, directory, place, journal, progress }: OpenTraining,
  { job, steps }: TrainingSpec,
  event: EventOf<'ready'>,
  begin: (step: number) => void,
): Promise<void> {
  progress.started(event.step)
  if (!keepsRun(place)) await journal.open(directory, event.step)
  begin(event.step)
  journal.emit({ ...event, type: 'started', job, run: id, steps })
}

function recordStep(
  { journal, progress }: OpenTraining,
  { job, itemsPerStep }: TrainingSpec,
  event: EventOf<'stepDone'>,
  perEpoch: number,
): void {
  progress.stepped(event)
  const epoch = Math.floor((event.step * itemsPerStep) / perEpoch)
  journal.emit({ ...event, type: 'step', job, epoch })
}

async function answerValidation(
  { config, place, journal }: OpenTraining,
  session: TrainingSession,
  step: number,
  counts: readonly CountedCase[],
): Promise<void> {
  const verdict = await recordValidation(config, step, counts, journal)
  // not awaited: the answer follows events that the caller must read first
  if (keepsRun(place)) session.command(verdict).catch(() => {})
}

async function recordCheckpoint(
  { config, place, journal, progress }: OpenTraining,
  { runDirectory }: TrainingSpec,
  event: EventOf<'checkpointSaved'>,
): Promise<void> {
  progress.saved(event.step)
  journal.emit({ ...event, type: 'checkpoint' })
  if (!keepsRun(place)) return
  await markBest(runDirectory, bestOf(journal.validations)?.step ?? null)
  await pruneCheckpoints(runDirectory, config.training.keepCheckpoints)
}

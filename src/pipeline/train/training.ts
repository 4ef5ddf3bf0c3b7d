import { join, resolve } from 'node:path'
import { openFeeder } from '../../sampling/feeder.js'
import { markBest } from '../../training/checkpoints.js'
import { causeOf } from '../../training/owner.js'
import { rewindRun } from '../../training/rewind.js'
import { writeFailure } from '../../training/run-directory.js'
import { bestOf } from '../../training/selection.js'
import { threadsOf } from '../../usable-processors.js'
import { makeFolder, writeWhole } from '../../whole-file.js'
import { checkpointFile } from '../checkpoint/checkpoint-file.js'
import { keepsRun, nodeFile } from '../nodes.js'
import { itemsPerEpoch, samplingPlan } from '../plan/sampling.js'
import { trainingSpec } from '../plan/spec.js'
import type { TrainingSpec } from '../ports/training.js'
import { attemptTraining, type Finished, type ItemSource } from './attempt.js'
import { gatherInputs, type TrainingInputs } from './inputs.js'
import type { OpenedRun } from './open-run.js'
import type { OpenTraining } from './open-training.js'
import { type Job, runJob, type StartPoint, waitUnless } from './restart.js'
import type { StartTraining } from './weights.js'

/**
 * Gather the inputs of an open run, then train until it ends, with restarts.
 * @param start starts the training of missing earlier weights
 * @param onStart called once before the first attempt
 */
export async function trainOpened(
  run: OpenTraining,
  { resumed, notes }: OpenedRun,
  start: StartTraining,
  onStart: () => void,
): Promise<Finished> {
  const { config, directory, journal, progress } = run
  const restartsFromZero = run.options.resume !== undefined && resumed === null && keepsRun(run.place)
  // infinity keeps all lines of a new run's log
  const firstStep = resumed?.step ?? (restartsFromZero ? 0 : Number.POSITIVE_INFINITY)
  await journal.open(directory, firstStep)
  if (resumed !== null) await markBest(directory, bestOf(journal.validations)?.step ?? null)
  for (const { level, text } of notes) journal.note(text, level)
  if (restartsFromZero) journal.note('the run has no checkpoint: it restarts from step 0', 'warning')
  const inputs = await inputsOf(run, resumed, start)
  const spec = await specOf(run, inputs, resumed?.directory ?? null)
  progress.steps = spec.steps
  const { reason } = threadsOf(config.runtime)
  if (reason !== null) journal.note(reason)
  await writeWhole(join(directory, nodeFile('plan.json', run.place)), `${JSON.stringify(spec, null, 2)}\n`)
  const feeder = await openFeeder(samplingPlan(config, inputs.sampled), { workers: config.sampling.workers })
  try {
    onStart()
    const job = jobOf(run, spec, firstStep, {
      feeder,
      policy: inputs.policy,
      perEpoch: itemsPerEpoch(inputs.sampled),
    })
    return await runJob(job, config.runtime.restarts)
  } finally {
    await feeder.close()
  }
}

function inputsOf(
  { config, runtime, options, directory, signal, journal, progress }: OpenTraining,
  resumed: OpenedRun['resumed'],
  start: StartTraining,
): Promise<TrainingInputs> {
  const note = (text: string, level?: 'info' | 'warning'): void => journal.note(text, level)
  const context = { runtime, signal, logDirectory: join(directory, 'logs'), note }
  const accepted = (): void => {
    progress.phase = 'starting'
  }
  return gatherInputs(config, context, directory, resumed, options.acceptChanges ?? false, start, accepted)
}

async function specOf(
  { id, directory, config, owner }: OpenTraining,
  { weights, cases, fingerprint }: TrainingInputs,
  resumeFrom: string | null,
): Promise<TrainingSpec> {
  const textureDirectory = join(resolve(config.prepare.cache), 'textures')
  await makeFolder(textureDirectory)
  const { initialWeights } = config.networks.segmentor
  return trainingSpec(config, {
    runId: id,
    runDirectory: directory,
    ownerNumber: owner?.number ?? 0,
    textureDirectory,
    resumeFrom,
    fingerprint,
    cases,
    weights,
    initialWeights: initialWeights === null ? null : await checkpointFile(initialWeights),
  })
}

function jobOf(run: OpenTraining, spec: TrainingSpec, firstStep: number, items: ItemSource): Job<Finished> {
  const { directory, owner, place, journal, commands, progress } = run
  const attempt = (from: StartPoint | null | undefined): Promise<Finished> =>
    from === undefined
      ? attemptTraining(run, spec, firstStep, items)
      : attemptTraining(run, { ...spec, resumeFrom: from?.directory ?? null }, from?.step ?? 0, items)
  return {
    attempt: (from) => attempt(from).catch((error) => Promise.reject(causeOf(owner, error))),
    reached: () => progress.reached,
    stopWanted: () => commands.stopWanted,
    failed: (card) => writeFailure(directory, card, nodeFile('failure.json', place)),
    wait: (seconds) => {
      progress.phase = 'starting'
      return waitUnless(commands.stopping, seconds)
    },
    rewind: () => rewind(run),
    record: (event) => journal.emit(event),
  }
}

async function rewind({
  directory,
  place,
  journal,
  commands,
  progress,
}: OpenTraining): Promise<StartPoint | null> {
  // node 0 chooses the checkpoint; until it reports the step, the newest checkpoint that was reported is assumed
  if (!keepsRun(place)) {
    progress.step = Math.max(0, progress.reached.savedStep)
    commands.renew(progress.step)
    return { step: progress.step, directory: null }
  }
  const checkpoint = await rewindRun(directory, journal)
  progress.startFrom(checkpoint)
  commands.renew(progress.step)
  return checkpoint
}

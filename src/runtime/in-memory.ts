import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { SupersededError } from '../errors.js'
import type {
  EvaluateSpec,
  MeasuredCase,
  PicturedCase,
  PictureSpec,
  PredictedCase,
  PredictSpec,
  PreparedCase,
  PrepareSpec,
} from '../pipeline/ports/cases.js'
import type { CheckpointFacts } from '../pipeline/ports/checkpoint.js'
import type { CallOptions, CaseOutcome, DirectoryLock, LockedWork } from '../pipeline/ports/common.js'
import type { ExportedFiles, ExportSpec } from '../pipeline/ports/export.js'
import type { PluginFacts, PluginSpec } from '../pipeline/ports/plugin.js'
import type {
  ComparedTumors,
  CompareTumorsSpec,
  FoundCopies,
  MeasuredTumors,
  RealismSpec,
} from '../pipeline/ports/realism.js'
import type { ModelRuntime } from '../pipeline/ports/runtime.js'
import type { SynthesizeSpec, VariantFeed } from '../pipeline/ports/synthesis.js'
import type {
  CropMeasures,
  RuntimeCommand,
  RuntimeEvent,
  StepFeed,
  TrainingSession,
  TrainingSpec,
} from '../pipeline/ports/training.js'
import type { PlannedCrop, PlannedTumor } from '../sampling/sampling-plan.js'
import { makeFolder } from '../whole-file.js'
import { serveInMemory } from './in-memory-serving.js'
import { jobEnded, jobStopped } from './job-errors.js'

type Work<Spec extends { readonly cases: readonly unknown[] }, T> = (
  one: Spec['cases'][number],
  spec: Spec,
) => CaseOutcome<T> | Promise<CaseOutcome<T>>

/** Answers that the twin cannot compute; a call without its answer throws. */
export interface InMemoryAnswers {
  readonly prepare?: Work<PrepareSpec, PreparedCase>
  readonly predict?: Work<PredictSpec, PredictedCase>
  readonly evaluate?: Work<EvaluateSpec, MeasuredCase>
  readonly picture?: Work<PictureSpec, PicturedCase>
  readonly measureTumors?: Work<RealismSpec, MeasuredTumors>
  readonly compareTumors?: Work<CompareTumorsSpec, ComparedTumors | FoundCopies>
  readonly inspect?: (path: string) => CheckpointFacts
  readonly exportWeights?: (spec: ExportSpec) => ExportedFiles
  readonly inspectPlugin?: (spec: PluginSpec) => PluginFacts
  /** Number of `steps` tumor voxels that the segmentor finds at a validation. Default: the number of finished steps. */
  readonly found?: (step: number) => number
  /** Called before a step; an error from it ends the runtime. */
  readonly beforeStep?: (step: number) => void | Promise<void>
}

/**
 * Return the twin of the torch runtime without Python, for tests of everything above the port: the same order of events,
 * feed calls, commands and checkpoint directories. It learns nothing; its losses are a pure function of the items.
 */
export function inMemoryRuntime(answers: InMemoryAnswers = {}): ModelRuntime {
  return {
    train: (spec, feed, call) => new InMemorySession(spec, feed, answers, call.place?.nodeRank ?? 0),
    prepare: (spec, call) => eachCase(spec, answers.prepare, call),
    predict: (spec, call) => eachCase(spec, answers.predict, call),
    evaluate: (spec, call) => eachCase(spec, answers.evaluate, call),
    picture: (spec, call) => eachCase(spec, answers.picture, call),
    measureTumors: (spec, call) => eachCase(spec, answers.measureTumors, call),
    compareTumors: (spec, call) => eachCase(spec, answers.compareTumors, call),
    synthesize: (spec, feed, call) => synthesizeInMemory(spec, feed, call),
    serve: (spec) => serveInMemory(spec),
    inspect: async (path) => (answers.inspect ?? unanswered('inspect'))(path),
    exportWeights: async (spec) => (answers.exportWeights ?? unanswered('exportWeights'))(spec),
    inspectPlugin: async (spec) => (answers.inspectPlugin ?? unanswered('inspectPlugin'))(spec),
    wandb: () => unanswered('wandb'),
    share: async () => ({ [Symbol.asyncDispose]: async () => {} }),
    lock: lockInMemory,
  }
}

/** Folders that this process holds: the number of shared locks, or `alone`. */
const locked = new Map<string, number | 'alone'>()

async function lockInMemory(directory: string, work: LockedWork): Promise<DirectoryLock> {
  const holder = { pid: process.pid, host: hostname() }
  const held = locked.get(directory) ?? 0
  if (held === 'alone' || (held > 0 && !work.shared)) throw work.refusal(directory, holder)
  locked.set(directory, work.shared ? held + 1 : 'alone')
  return {
    enforced: true,
    async [Symbol.asyncDispose]() {
      const now = locked.get(directory)
      if (typeof now === 'number' && now > 1) locked.set(directory, now - 1)
      else locked.delete(directory)
    },
  }
}

async function* eachCase<Spec extends { readonly job: string; readonly cases: readonly unknown[] }, T>(
  spec: Spec,
  work: Work<Spec, T> | undefined,
  call: CallOptions,
): AsyncIterable<CaseOutcome<T>> {
  for (const one of spec.cases) {
    if (call.signal?.aborted) throw jobStopped(spec.job, spec.job === 'prepare' || spec.job === 'predict')
    yield await (work ?? unanswered(spec.job))(one, spec)
  }
}

/** Detect every tumor of at least 500 voxels; write nothing. */
async function synthesizeInMemory(spec: SynthesizeSpec, feed: VariantFeed, call: CallOptions): Promise<void> {
  for (;;) {
    if (call.signal?.aborted) throw jobStopped('synthesize')
    let round = await feed.begin(0)
    if (round === null) return
    const { caseId, variant } = round
    const { name: caseName, image } = spec.cases.find(({ id }) => id === caseId)!
    const start = `${caseName}_v${String(variant).padStart(3, '0')}`
    const kept: string[] = []
    const rejected: { tumor: number; attempt: number; file: string; sha256: string }[] = []
    while (round.attempts.length > 0) {
      const measures = round.attempts.map(({ tumor, plan }) => ({ tumor, ...seenWhenLarge(plan) }))
      const { attempts } = round
      round = await feed.judged(0, measures)
      for (const { tumor, attempt } of attempts) {
        const tried = `t${tumor}_a${attempt}`
        if (round.accepted.includes(tumor)) kept.push(tried)
        if (!round.keptRejected.includes(tumor)) continue
        const file = `${start}_${tried}.nii.gz`
        rejected.push({ tumor, attempt, file, sha256: sha256Of(file) })
      }
    }
    const name = `${start}.nii.gz`
    const all = (value: string) => ({ image: value, label: value, change: value, tumors: value })
    await feed.written(0, caseId, variant, {
      files: kept.length > 0 ? all(name) : null,
      // the content of a file is its tumors
      sha256: all(sha256Of([name, ...kept].join(' '))),
      ...(rejected.length > 0 ? { rejected } : {}),
      host: await readFile(image).then(sha256Of, () => 'host'),
      seconds: {},
    })
  }
}

function sha256Of(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

function unanswered(what: string): never {
  throw new Error(`the in-memory runtime was given no answer for ${what}`)
}

interface WaitingCommand {
  readonly command: RuntimeCommand
  readonly resolve: (step: number) => void
  readonly reject: (error: unknown) => void
}

class InMemorySession implements TrainingSession {
  readonly events: AsyncIterable<RuntimeEvent>
  readonly #commands: WaitingCommand[] = []
  #closed = false
  #paused = false

  constructor(
    private readonly spec: TrainingSpec,
    private readonly feed: StepFeed,
    private readonly answers: InMemoryAnswers,
    private readonly node: number,
  ) {
    this.events = this.#train()
  }

  command(command: RuntimeCommand): Promise<number> {
    if (this.#closed) return Promise.reject(jobEnded())
    return new Promise((resolve, reject) => this.#commands.push({ command, resolve, reject }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (const { reject } of this.#commands.splice(0)) reject(jobEnded())
  }

  async *#train(): AsyncIterable<RuntimeEvent> {
    const { spec } = this
    const first = spec.resumeFrom === null ? 0 : Number(spec.resumeFrom.slice(-8))
    yield {
      type: 'ready',
      step: first,
      device: 'memory',
      worldSize: spec.processesPerNode,
      versions: {},
      parameters: { segmentor: 1 },
    }
    let learningRate = spec.optimizer.learningRate
    let step = first
    while (step < spec.steps) {
      const decision = await this.#boundary(step)
      learningRate = decision.learningRate ?? learningRate
      if (decision.save || decision.stop !== null) yield await this.#save(step, decision.stop ?? 'request')
      if (decision.stop !== null)
        return yield { type: 'finished', step, outcome: 'stopped', reason: decision.stop }
      if (this.#paused) continue
      await this.answers.beforeStep?.(step)
      yield {
        type: 'stepDone',
        step,
        learningRate,
        seconds: 0.01,
        waitSeconds: 0,
        memoryBytes: null,
        utilization: null,
        losses: await this.#step(step),
      }
      const ends = yield* this.#afterStep(++step)
      if (ends !== null) return yield { type: 'finished', step, outcome: 'completed', reason: ends }
    }
    yield { type: 'finished', step: spec.steps, outcome: 'completed', reason: 'all steps are done' }
  }

  /** Act as rank 0 between two steps: execute commands in order, and wait while paused. */
  async #boundary(
    step: number,
  ): Promise<{ learningRate: number | null; save: boolean; stop: string | null }> {
    const decision = { learningRate: null as number | null, save: false, stop: null as string | null }
    do {
      // other work gets its turn, as it would with a separate process
      await new Promise((resolve) => setImmediate(resolve))
      for (const { command, resolve } of this.#commands.splice(0)) {
        if (command.type === 'setLearningRate') decision.learningRate = command.value
        else if (command.type === 'checkpoint') decision.save = true
        else if (command.type === 'stop') decision.stop = command.reason
        else this.#paused = command.type === 'pause'
        resolve(step)
      }
    } while (this.#paused && !decision.save && decision.stop === null && !this.#closed)
    return decision
  }

  async #step(step: number): Promise<Record<string, number>> {
    const crops: PlannedCrop[] = []
    const { processesPerNode } = this.spec
    for (let rank = this.node * processesPerNode; rank < (this.node + 1) * processesPerNode; rank++) {
      const ofRank = await this.feed.crops(step, rank)
      crops.push(...ofRank)
      if (this.spec.synthesis) await this.#judge(step, rank, ofRank)
    }
    return { total: mean(crops.map(({ image }) => mean(image))) }
  }

  /** Send the measures of the first attempts, then those that the verdicts ask for. */
  async #judge(step: number, rank: number, crops: readonly PlannedCrop[]): Promise<void> {
    const gated = this.spec.synthesis?.gated ?? false
    const first = crops.flatMap((crop) => measure(crop).filter(({ draw }) => !gated || draw === 0))
    let verdicts = await this.feed.judge(step, rank, first)
    for (;;) {
      const next = verdicts.filter(({ nextDraw }) => nextDraw !== null)
      if (next.length === 0) return
      const wanted = next.flatMap((verdict) =>
        crops
          .filter(({ item, crop }) => item === verdict.item && crop === verdict.crop)
          .flatMap((crop) => measure(crop).filter(({ draw }) => draw === verdict.nextDraw)),
      )
      verdicts = await this.feed.judge(step, rank, wanted)
    }
  }

  /** Validation and checkpoint, where they are due; returns why the run ends here, or null. */
  async *#afterStep(next: number): AsyncGenerator<RuntimeEvent, string | null> {
    const { validation, checkpoint, steps } = this.spec
    const isDue = (every: number | null): boolean => next === steps || (every !== null && next % every === 0)
    const validates = validation.cases.length > 0 && isDue(validation.everySteps)
    if (validates) {
      for (const { id } of validation.cases)
        yield { type: 'validationCase', caseId: id, counts: this.#counts(next) }
      yield { type: 'validationDone', step: next }
    }
    // node 0 decides
    const ends = validates && this.node === 0 ? await this.#verdict(next) : null
    const reason = ends !== null || next === steps ? 'end' : validates ? 'validation' : 'interval'
    if (validates || isDue(checkpoint.everySteps)) yield await this.#save(next, reason)
    return ends
  }

  /** Wait for the verdict on a validation; other commands wait for the next boundary. */
  async #verdict(step: number): Promise<string | null> {
    while (!this.#closed) {
      const at = this.#commands.findIndex(({ command }) => command.type === 'validationVerdict')
      for (const { command, resolve } of at < 0 ? [] : this.#commands.splice(at, 1)) {
        resolve(step)
        if (command.type === 'validationVerdict') return command.endReason
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
    return null
  }

  /** Return the counts of a segmentor that finds one voxel more with every step, unless a test sets the number. */
  #counts(step: number) {
    const found = Math.min(this.spec.steps, this.answers.found?.(step) ?? step)
    return this.spec.labelNames.flatMap((_, label) =>
      label === 0
        ? []
        : [{ label, truePositive: found, falsePositive: 1, falseNegative: this.spec.steps - found }],
    )
  }

  /** Refuse to publish a checkpoint of a superseded run, as rank 0 does. */
  async #refuseSuperseded(): Promise<void> {
    const { runDirectory, ownerNumber, runId } = this.spec
    const owner = await readFile(join(runDirectory, 'owner.json'), 'utf8').then(
      (text) => JSON.parse(text) as { number: number; run: string },
      () => null,
    )
    if (owner !== null && (owner.number !== ownerNumber || owner.run !== runId))
      throw new SupersededError(`${runDirectory}: start ${owner.number} of the run has taken it over`, {
        hint: 'use the other process; this one saves nothing more',
      })
  }

  async #save(step: number, reason: string): Promise<RuntimeEvent> {
    if (this.node > 0) return { type: 'checkpointSaved', step, directory: '', reason }
    await this.#refuseSuperseded()
    const name = `step_${String(step).padStart(8, '0')}`
    const folder = join(this.spec.runDirectory, 'checkpoints')
    await makeFolder(join(folder, name))
    const weights = `weights of step ${step}`
    const sha256 = createHash('sha256').update(weights).digest('hex')
    const { fingerprint, processesPerNode: ranks, threadsPerProcess } = this.spec
    const madeBy = { ...fingerprint, ranks, threadsPerProcess, device: 'memory', torch: '' }
    const manifest = { step, madeBy, files: { 'model.pt': { sha256, bytes: weights.length } } }
    await writeFile(join(folder, name, 'model.pt'), weights)
    await writeFile(join(folder, name, 'manifest.json'), JSON.stringify(manifest))
    await writeFile(join(folder, 'latest'), name)
    return { type: 'checkpointSaved', step, directory: join(folder, name), reason }
  }
}

/** Return measures that a test can predict: large tumors are detected, small ones are not. */
function measure(crop: PlannedCrop): CropMeasures[] {
  return crop.tumors.map((tumor) => ({
    item: crop.item,
    crop: crop.crop,
    draw: tumor.draw,
    ...seenWhenLarge(tumor),
  }))
}

function seenWhenLarge({ box }: PlannedTumor) {
  const syntheticVoxels = box.reduce((sum, voxel) => sum + voxel, 0)
  const seenVoxels = syntheticVoxels >= 500 ? syntheticVoxels : 0
  return { syntheticVoxels, seenVoxels, alreadySeenVoxels: 0, contrast: 0.1, more: {} }
}

function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let at = 0; at < values.length; at++) sum += values[at]!
  return values.length === 0 ? 0 : sum / values.length
}

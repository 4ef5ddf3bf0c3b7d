import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '../../config/load.js'
import { resolveConfig } from '../../config/resolve.js'
import type { ConfigInput, RunConfig } from '../../config/schema.js'
import { UsageError } from '../../errors.js'
import type { Summary } from '../../evaluation/summary.js'
import { readEvents } from '../../training/event-log.js'
import type { JobKind, Outcome, RunEvent } from '../../training/events.js'
import { makeWritableFolder, writeWhole } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import { evaluateMasks } from '../evaluate/run.js'
import { predictMasks } from '../predict/run.js'
import { writeDemoReport } from '../report/write.js'
import { startTraining } from '../train/run.js'
import { trainingLabels } from '../training-labels.js'

export interface DemoOptions {
  readonly out: string
  readonly seed: number
  readonly signal?: AbortSignal | undefined
  readonly onStage?: (text: string) => void
  readonly onEvent?: (event: RunEvent) => void
}

/** Content of `demo.json`. */
export interface DemoResult {
  readonly jobs: readonly { readonly job: JobKind; readonly run: string; readonly outcome: Outcome }[]
  readonly baseline: { readonly tumorDice: number | null }
  readonly segmentation: { readonly tumorDice: number | null }
  /** Acceptance rate of the tumors judged while the segmentor trained. */
  readonly keptShare: number | null
}

/** Steps of the demo instead of those of the debug configurations: enough to learn. */
const DEMO_STEPS: Readonly<Record<JobKind, number>> = { baseline: 800, synthesis: 80, segmentation: 160 }

/**
 * Run the whole method on phantoms: baseline, generator, segmentor with online synthesis, evaluation on held-out cases,
 * report. Everything is written under `out`: one run directory per job, `demo.json`, `report.html`.
 */
export async function runDemo(options: DemoOptions, context: StageContext): Promise<DemoResult> {
  const out = resolve(options.out)
  await refuseOldDemo(out)
  await makeWritableFolder(out)
  const stage = options.onStage ?? (() => {})
  const jobs: { job: JobKind; run: string; outcome: Outcome }[] = []
  const weights: Partial<Record<JobKind, string>> = {}
  for (const job of ['baseline', 'synthesis', 'segmentation'] as const) {
    stage(`${job} training`)
    const config = await demoConfig(job, out, options.seed, weights)
    const run = startTraining(config, context.runtime, { out: join(out, job), signal: options.signal })
    for await (const event of run) options.onEvent?.(event)
    const { outcome, directory, checkpoint } = await run.result
    jobs.push({ job, run: directory, outcome })
    if (outcome !== 'completed' || checkpoint === null) return await conclude(out, jobs, null, null)
    weights[job] = join(checkpoint, 'model.pt')
  }
  stage('evaluation on held-out phantoms')
  // side by side: each spends most of its time starting one process after another
  const onBoth = async <T>(work: (job: Tested) => Promise<T>): Promise<[T, T]> => {
    const both = [work('baseline'), work('segmentation')] as const
    await Promise.allSettled(both) // if one fails, the other ends before the failure is reported
    return await Promise.all(both)
  }
  await onBoth((job) => predictOn(out, job, options.seed, weights, context))
  const [baseline, segmentation] = await onBoth((job) => evaluateOn(out, job, options.seed, weights, context))
  return await conclude(out, jobs, baseline, segmentation)
}

/** Jobs whose weights segment the held-out phantoms. */
type Tested = 'baseline' | 'segmentation'

function masksOf(out: string, job: Tested): string {
  return join(out, 'evaluation', job, 'masks')
}

function heldOutPhantoms(out: string): string {
  return join(out, 'data', 'phantom_test')
}

/** Return the debug configuration of a job, with the demo's folders, seed, steps, ranks and weights. */
async function demoConfig(
  job: JobKind,
  out: string,
  seed: number,
  weights: Partial<Record<JobKind, string>>,
): Promise<RunConfig> {
  const file = fileURLToPath(new URL(`../../../configs/debug-${job}.yaml`, import.meta.url))
  const debug = await loadConfig(file)
  const phantoms = {
    ...debug.data.phantoms!,
    labelledCases: 16,
    validationCases: 4,
    hostCases: 10,
    testCases: 8,
  }
  const earlier = (checkpoint: string | undefined) => ({ checkpoint: checkpoint ?? null, trainFrom: null })
  return resolveConfig(
    {
      ...debug,
      name: `demo-${job}`,
      seed,
      data: { ...debug.data, root: join(out, 'data'), phantoms: { ...phantoms, seed } },
      prepare: { ...debug.prepare, cache: join(out, 'cache') },
      networks: {
        ...debug.networks,
        // The segmentor starts from the weights of the baseline: with random weights, these few steps would only relearn organs.
        segmentor: {
          ...debug.networks.segmentor,
          initialWeights: job === 'segmentation' ? (weights.baseline ?? null) : null,
        },
        baseline: debug.networks.baseline && { ...debug.networks.baseline, ...earlier(weights.baseline) },
        generator: debug.networks.generator && { ...debug.networks.generator, ...earlier(weights.synthesis) },
      },
      training: { ...debug.training, steps: DEMO_STEPS[job] },
      runtime: { ...debug.runtime, processesPerNode: 2 },
    } satisfies ConfigInput,
    `demo ${job}`,
  )
}

async function predictOn(
  out: string,
  job: Tested,
  seed: number,
  weights: Partial<Record<JobKind, string>>,
  context: StageContext,
): Promise<void> {
  const { evaluation } = await demoConfig(job, out, seed, weights)
  await predictMasks(
    {
      checkpoint: weights[job]!,
      images: join(heldOutPhantoms(out), 'imagesTr'),
      out: masksOf(out, job),
      overlap: evaluation.overlap,
      blend: evaluation.blend,
      windowBatch: evaluation.windowBatch,
    },
    context,
  )
}

/** Evaluate the masks of a job; those of the segmentation are compared with those of the baseline, with pictures. */
async function evaluateOn(
  out: string,
  job: Tested,
  seed: number,
  weights: Partial<Record<JobKind, string>>,
  context: StageContext,
): Promise<Summary> {
  const labels = trainingLabels(await demoConfig(job, out, seed, weights))
  const test = heldOutPhantoms(out)
  const against = job === 'segmentation' ? masksOf(out, 'baseline') : undefined
  const { summary } = await evaluateMasks(
    {
      predictions: masksOf(out, job),
      labels: join(test, 'labelsTr'),
      profile: 'freetumor',
      out: join(out, 'evaluation', job),
      labelIds: labels.names.map((_, id) => id).slice(1),
      tumorIds: labels.tumorIds,
      labelNames: labels.names,
      images: join(test, 'imagesTr'),
      pictures: against === undefined ? 0 : 4,
      against,
      workers: 1,
      seed,
    },
    context,
  )
  return summary
}

async function conclude(
  out: string,
  jobs: DemoResult['jobs'],
  baseline: Summary | null,
  segmentation: Summary | null,
): Promise<DemoResult> {
  const result: DemoResult = {
    jobs,
    baseline: { tumorDice: baseline?.tumorDice?.mean ?? null },
    segmentation: { tumorDice: segmentation?.tumorDice?.mean ?? null },
    keptShare: await keptShare(jobs),
  }
  await writeWhole(join(out, 'demo.json'), `${JSON.stringify(result, null, 2)}\n`)
  await writeDemoReport(out)
  return result
}

/** Return the acceptance rate over all steps of the segmentation run. */
async function keptShare(jobs: DemoResult['jobs']): Promise<number | null> {
  const run = jobs.find((one) => one.job === 'segmentation')?.run
  if (run === undefined) return null
  let kept = 0
  let tried = 0
  for await (const event of readEvents(join(run, 'events.jsonl'))) {
    if (event.type !== 'synthesis') continue
    kept += event.kept
    tried += event.tried
  }
  return tried === 0 ? null : kept / tried
}

async function refuseOldDemo(out: string): Promise<void> {
  const there = await access(join(out, 'baseline', 'config.resolved.yaml')).then(
    () => true,
    () => false,
  )
  if (there)
    throw new UsageError(`${out}: already holds a demo`, { hint: 'remove it, or choose another --out' })
}

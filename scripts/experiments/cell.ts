import { access, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type ConfigInput, type Evaluation, evaluate, predict, train } from 'freetumor'
import { makeFolder } from '../../dist/whole-file.js'
import { type CellFacts, OVERLAP, stageConfig, type Weights } from './arms.js'
import type { CpuClock } from './cpu-clock.js'
import { type Arm, type Cell, cellName, type Plan, stagesOf } from './plan.js'
import { type CaseScore, scoresOf } from './results.js'
import { LIVER_ONLY, type World } from './world.js'

/** The log function and the stop signal of a cell. */
export interface CellContext {
  readonly clock: CpuClock
  readonly signal: AbortSignal
  readonly say: (text: string) => void
}

/** Content of `cell.json`: the scores on the test cases, and their cost. */
export interface CellResult extends Cell {
  readonly scores: Readonly<Partial<Record<Arm | 'start', readonly CaseScore[]>>>
  readonly facts: CellFacts
  /** Processor seconds by stage. */
  readonly cpuSeconds: Readonly<Record<string, number>>
}

/** Run the missing stages of a cell: a complete stage does not run again. */
export async function runCell(
  out: string,
  cell: Cell,
  plan: Plan,
  world: World,
  facts: CellFacts,
  context: CellContext,
): Promise<CellResult> {
  const folder = join(resolve(out), 'cells', cellName(cell))
  const done = await readJson<CellResult>(join(folder, 'cell.json'))
  if (done) return done
  await makeFolder(folder)
  const cost = await openCost(folder, context.clock)
  const weights: Record<keyof Weights, string | null> = {
    start: null,
    generator: null,
    untrainedGenerator: null,
  }
  for (const stage of stagesOf(plan)) {
    const run = join(folder, stage)
    await cost(stage, () => trainStage(run, stageConfig(stage, cell, plan, world, weights, facts), context))
    if (stage in weights) weights[stage as keyof Weights] = await modelOf(run)
  }
  const judged = ['start', ...plan.arms] as const
  for (const arm of judged)
    await cost(`predict ${arm}`, async () => {
      context.say(`${cellName(cell)}: masks of ${arm}`)
      await predict(
        {
          checkpoint: await modelOf(join(folder, arm)),
          images: world.testImages,
          out: join(folder, 'masks', arm),
          overlap: OVERLAP,
          device: 'cpu',
        },
        { signal: context.signal },
      )
    })
  let scores: CellResult['scores'] = {}
  const seconds = await cost('evaluate', async () => {
    scores = await scoreMasks(folder, judged, world, context.signal)
  })
  const result: CellResult = { ...cell, scores, facts, cpuSeconds: seconds }
  await writeFile(join(folder, 'cell.json'), `${JSON.stringify(result)}\n`)
  return result
}

/** Train into a run directory, resume a stopped run, or keep a complete one. */
export async function trainStage(run: string, config: ConfigInput, context: CellContext): Promise<void> {
  const what = await stateOf(run)
  if (what === 'completed') return
  context.say(`${run.split('/').slice(-2).join(' ')}: ${what === 'new' ? 'training' : 'resuming'}`)
  const training = train(config, {
    ...(what === 'new' ? { out: run } : { resume: run }),
    signal: context.signal,
  })
  for await (const _ of training) if (context.signal.aborted) continue
  const { outcome, reason } = await training.result
  if (outcome !== 'completed') throw new Stopped(`${run}: ${outcome} (${reason})`)
}

/** Something asked for a stop; what is done stays. */
export class Stopped extends Error {}

/** Return the state of a run by its files; `exit.json` decides. */
export async function stateOf(run: string): Promise<'new' | 'unfinished' | 'completed'> {
  const exit = await readJson<{ outcome: string }>(join(run, 'exit.json'))
  if (exit?.outcome === 'completed') return 'completed'
  const begun = await access(join(run, 'config.resolved.yaml')).then(
    () => true,
    () => false,
  )
  return begun ? 'unfinished' : 'new'
}

/** Return the weights of the newest checkpoint of a run. */
export async function modelOf(run: string): Promise<string> {
  const latest = (await readFile(join(run, 'checkpoints', 'latest'), 'utf8')).trim()
  return join(run, 'checkpoints', latest, 'model.pt')
}

async function scoreMasks(
  folder: string,
  arms: readonly (Arm | 'start')[],
  world: World,
  signal: AbortSignal,
): Promise<CellResult['scores']> {
  const measured = await evaluateArms(folder, arms, world, signal)
  return Object.fromEntries(arms.map((arm) => [arm, scoresOf(measured.get(arm)!)]))
}

/**
 * Evaluate all arms at once: a case of an arm is a case of its own, so that Python starts once.
 * @param scored true: lesions are scored by the probabilities of the same prediction
 * @param lesionFeatures true: predicted lesions have the features of operating points
 */
export async function evaluateArms(
  folder: string,
  arms: readonly (Arm | 'start')[],
  world: World,
  signal: AbortSignal,
  scored = false,
  lesionFeatures = false,
): Promise<Map<Arm | 'start', Evaluation['cases']>> {
  const cases = await namesIn(world.testLabels)
  const [masks, labels] = [join(folder, 'evaluation', 'masks'), join(folder, 'evaluation', 'labels')]
  await rm(join(folder, 'evaluation'), { recursive: true, force: true })
  const scores = join(folder, 'evaluation', 'scores')
  for (const made of [masks, labels, scores]) await makeFolder(made)
  for (const arm of arms)
    for (const name of cases) {
      await symlink(join(folder, 'masks', arm, name), join(masks, `${arm}__${name}`))
      await symlink(join(world.testLabels, name), join(labels, `${arm}__${name}`))
      const score = name.replace(/\.nii\.gz$/, '_2.nii.gz')
      if (scored)
        await symlink(join(folder, 'masks', arm, 'probabilities', score), join(scores, `${arm}__${score}`))
    }
  const { cases: measured, failed } = await evaluate(
    {
      predictions: masks,
      labels,
      profile: 'lesion',
      labelIds: [1, 2],
      tumorIds: [2],
      labelMap: { '0': 0, ...LIVER_ONLY },
      ...(scored ? { scores } : {}),
      lesionFeatures,
      pictures: 0,
      workers: 1,
    },
    { signal },
  )
  if (failed.length > 0)
    throw new Error(`${failed[0]!.caseId} could not be measured: ${failed[0]!.error.message}`)
  return new Map(arms.map((arm) => [arm, measured.filter(({ caseId }) => caseId.startsWith(`${arm}__`))]))
}

/** Add up the cost of each stage, over all starts of the experiment. */
export async function openCost(folder: string, clock: CpuClock) {
  const file = join(folder, 'cost.json')
  const seconds: Record<string, number> = (await readJson<Record<string, number>>(file)) ?? {}
  return async (stage: string, work: () => Promise<void>): Promise<Readonly<Record<string, number>>> => {
    const before = clock.seconds()
    try {
      await work()
    } finally {
      seconds[stage] = (seconds[stage] ?? 0) + clock.seconds() - before
      await writeFile(file, JSON.stringify(seconds))
    }
    return seconds
  }
}

export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.nii.gz')).sort()
}

export async function readJson<T>(path: string): Promise<T | null> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T
  } catch {
    return null
  }
}

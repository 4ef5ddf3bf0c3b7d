import { rm, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { calibrate, predict } from 'freetumor'
import { makeFolder } from '../../dist/whole-file.js'
import { type CellFacts, OVERLAP, stageConfig, type Weights } from './arms.js'
import { type CellContext, evaluateArms, modelOf, namesIn, openCost, readJson, trainStage } from './cell.js'
import { linesOf } from './checks.js'
import { type Arm, type Cell, cellName, stagesOf } from './plan.js'
import { figuresAt, type PointFigures, type ScoredCase, scoredCases, thresholdAt } from './policy-figures.js'
import type { PolicyPlan } from './policy-plan.js'
import { tumorVolumesMl } from './real-tumors.js'
import { LIVER_ONLY, labelledFiles, makeWorld, type World } from './world.js'

/** Content of `cell.json`: the figures of each arm, and the Dice of each test case. */
export interface PolicyCell extends Cell {
  readonly arms: Readonly<Partial<Record<Arm | 'start', ArmResult>>>
  /** Accepted tumors, judged tumors and painted crops, by arm. */
  readonly tumors: Readonly<Partial<Record<Arm, TumorCounts>>>
  readonly cpuSeconds: Readonly<Record<string, number>>
}

export interface ArmResult {
  /** At the operating point of the validation cases. */
  readonly test: PointFigures
  /** Without an operating point: every predicted lesion counts. */
  readonly unfiltered: PointFigures
  /** The test cases with tumors, in the order of their names. */
  readonly cases: readonly ScoredCase[]
}

export interface TumorCounts {
  readonly accepted: number
  readonly attempts: number
  readonly crops: number
}

/** Names of the held-out cases: those that calibrate and fit the operating points, and those that are tested. */
export interface HeldOut {
  readonly validation: { readonly sick: readonly string[]; readonly healthy: readonly string[] }
  readonly test: readonly string[]
}

/** Run the missing stages of a cell; the held-out cases of each seed are its own. */
export async function runPolicyCell(
  out: string,
  cell: Cell,
  policyPlan: PolicyPlan,
  context: CellContext,
): Promise<PolicyCell> {
  const folder = join(resolve(out), 'cells', cellName(cell))
  const done = await readJson<PolicyCell>(join(folder, 'cell.json'))
  if (done) return done
  await makeFolder(folder)
  const cost = await openCost(folder, context.clock)
  const plan = { ...policyPlan, seeds: [cell.seed], testSeed: cell.seed + 1 }
  const root = join(resolve(out), 'worlds', `seed-${cell.seed}`)
  const world = await makeWorld(root, plan, null)
  const heldOut = heldOutOf(policyPlan, await namesIn(world.testLabels))
  const files = await labelledFiles(world, cell.seed, cell.labelled)
  let facts: CellFacts = { tumorVolumesMl: await tumorVolumesMl(files.map(({ label }) => label)) }
  const weights: Record<keyof Weights, string | null> = {
    start: null,
    generator: null,
    untrainedGenerator: null,
  }
  const tumors: Partial<Record<Arm, TumorCounts>> = {}
  for (const stage of stagesOf(plan)) {
    const run = join(folder, stage)
    await cost(stage, () => trainStage(run, stageConfig(stage, cell, plan, world, weights, facts), context))
    if (stage in weights) weights[stage as keyof Weights] = await modelOf(run)
    if (stage === 'start' && plan.arms.includes('calibrated')) {
      await cost('predict start', () => predictMasks(folder, 'start', world.testImages, context))
      await cost('calibrate', () => calibrateStart(folder, world, heldOut, context))
      facts = { ...facts, calibration: join(folder, 'calibration.json') }
    }
    if (stage === 'start' || stage === 'generator' || stage === 'untrainedGenerator' || stage === 'realOnly')
      continue
    tumors[stage] = await countTumors(run)
    if (stage === 'published')
      facts = { ...facts, keptShare: tumors[stage].accepted / Math.max(1, tumors[stage].crops) }
  }
  const judged = ['start', ...plan.arms] as const
  for (const arm of judged)
    await cost(`predict ${arm}`, () => predictMasks(folder, arm, world.testImages, context))
  let arms: PolicyCell['arms'] = {}
  const seconds = await cost('evaluate', async () => {
    const measured = await evaluateArms(folder, judged, world, context.signal, true)
    arms = Object.fromEntries(
      judged.map((arm) => [arm, resultOf(policyPlan, scoredCases(measured.get(arm)!), heldOut)]),
    )
  })
  const result: PolicyCell = { ...cell, arms, tumors, cpuSeconds: seconds }
  await writeFile(join(folder, 'cell.json'), `${JSON.stringify(result)}\n`)
  // a cell is its figures; masks and checkpoints of many seeds would fill the disk
  for (const name of ['masks', 'evaluation', ...plan.arms, 'start', 'generator'])
    await rm(join(folder, name), { recursive: true, force: true })
  return result
}

/** Split the held-out cases; the phantoms with tumors come first. */
export function heldOutOf(
  { validation, test }: Pick<PolicyPlan, 'validation' | 'test'>,
  names: readonly string[],
): HeldOut {
  const [sick, healthy] = [names.slice(0, test.sick), names.slice(test.sick)]
  return {
    validation: { sick: sick.slice(0, validation.sick), healthy: healthy.slice(0, validation.healthy) },
    test: [...sick.slice(validation.sick), ...healthy.slice(validation.healthy)],
  }
}

/** Write the masks of an arm with the probabilities of its tumors. */
export async function predictMasks(
  folder: string,
  arm: Arm | 'start',
  images: string,
  context: CellContext,
  out = join(folder, 'masks', arm),
): Promise<void> {
  context.say(`${folder.split('/').at(-1)}: masks of ${arm}`)
  const checkpoint = await modelOf(join(folder, arm))
  await predict(
    { images, out, checkpoint, overlap: OVERLAP, device: 'cpu', probabilities: [2] },
    { signal: context.signal },
  )
}

/** Measure the start on the validation cases, for the arm `calibrated`. */
async function calibrateStart(
  folder: string,
  world: World,
  { validation }: HeldOut,
  { signal }: CellContext,
): Promise<void> {
  const masks = join(folder, 'masks', 'start')
  const links = join(folder, 'evaluation', 'calibration')
  await rm(links, { recursive: true, force: true })
  const link = async (from: string, name: string, names: readonly string[]): Promise<string> => {
    await makeFolder(join(links, name))
    for (const file of names) await symlink(join(from, file), join(links, name, file))
    return join(links, name)
  }
  const predictions = await link(masks, 'predictions', validation.sick)
  await symlink(join(masks, 'prediction.json'), join(predictions, 'prediction.json'))
  await calibrate(
    {
      predictions,
      labels: await link(world.testLabels, 'labels', validation.sick),
      healthy: await link(masks, 'healthy', validation.healthy),
      labelMap: { '0': 0, ...LIVER_ONLY },
      out: join(folder, 'calibration.json'),
      workers: 1,
    },
    { signal },
  )
}

function resultOf(
  { falsePositivesPerScan }: PolicyPlan,
  cases: readonly ScoredCase[],
  heldOut: HeldOut,
): ArmResult {
  const isOf = (names: readonly string[]) => (one: ScoredCase) =>
    names.some((name) => name.replace(/\.nii\.gz$/, '') === one.case.replace(/\.nii\.gz$/, ''))
  const test = cases.filter(isOf(heldOut.test))
  const threshold = thresholdAt(falsePositivesPerScan, cases.filter(isOf(heldOut.validation.healthy)))
  return {
    test: figuresAt(threshold, test),
    unfiltered: figuresAt(0, test),
    cases: test.filter(({ truth }) => truth.length > 0),
  }
}

async function countTumors(run: string): Promise<TumorCounts> {
  const crops = new Set<string>()
  let [accepted, attempts] = [0, 0]
  for await (const line of linesOf<{ verdict: string; item: number; crop: number }>(
    join(run, 'ledger.jsonl'),
  )) {
    if (line.verdict === 'noRoom') continue
    attempts++
    crops.add(`${line.item}/${line.crop}`)
    if (line.verdict === 'accepted') accepted++
  }
  return { accepted, attempts, crops: crops.size }
}

import { rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { synthesize } from 'freetumor'
import { makeFolder } from '../../dist/whole-file.js'
import { type CellFacts, shrunkConfig, stageConfig, type Weights } from './arms.js'
import { type CellContext, evaluateArms, modelOf, namesIn, openCost, readJson, trainStage } from './cell.js'
import {
  type EarlyCurves,
  type EarlyFigures,
  earlyCurves,
  earlyFigures,
  sizesMissed,
} from './early-figures.js'
import type { EarlyPlan } from './early-plan.js'
import { type Arm, type Cell, cellName, stagesOf } from './plan.js'
import { heldOutOf, predictMasks } from './policy-cell.js'
import { type ScoredCase, scoredCases, thresholdAt } from './policy-figures.js'
import { tumorVolumesMl } from './real-tumors.js'
import { labelledFiles, makeWorld, shrunkFolder } from './world.js'

/** Figures of the test cases. */
export interface EarlyResult extends EarlyCurves {
  /** At the operating point of the validation cases. */
  readonly test: EarlyFigures
  /** Without an operating point: every predicted lesion counts. */
  readonly unfiltered: EarlyFigures
}

/** Content of `cell.json`. */
export interface EarlyCell extends Cell {
  readonly arms: Readonly<Partial<Record<Arm | 'start', EarlyResult>>>
  /** Validation tumors that the start finds and misses at its operating point. */
  readonly missedSizes: CellFacts['missedSizes']
  readonly cpuSeconds: Readonly<Record<string, number>>
}

/** Run the missing stages of a cell; the held-out cases of each seed are its own. */
export async function runEarlyCell(
  out: string,
  cell: Cell,
  earlyPlan: EarlyPlan,
  context: CellContext,
): Promise<EarlyCell> {
  const folder = join(resolve(out), 'cells', cellName(cell))
  const done = await readJson<EarlyCell>(join(folder, 'cell.json'))
  if (done) return done
  await makeFolder(folder)
  const cost = await openCost(folder, context.clock)
  const plan = { ...earlyPlan, seeds: [cell.seed], testSeed: cell.seed + 1 }
  const world = await makeWorld(join(resolve(out), 'worlds', `seed-${cell.seed}`), plan, null)
  const { validation, test } = heldOutOf(earlyPlan, await namesIn(world.testLabels))
  const files = await labelledFiles(world, cell.seed, cell.labelled)
  let facts: CellFacts = { tumorVolumesMl: await tumorVolumesMl(files.map(({ label }) => label)) }
  const weights: Record<keyof Weights, string | null> = {
    start: null,
    generator: null,
    untrainedGenerator: null,
  }
  const named = (names: readonly string[]) => {
    const stems = new Set(names.map((name) => name.replace(/\.nii\.gz$/, '')))
    return (one: ScoredCase) => stems.has(one.case.replace(/\.nii\.gz$/, ''))
  }
  const pointOf = (cases: readonly ScoredCase[]) =>
    thresholdAt(earlyPlan.falsePositivesPerScan, cases.filter(named(validation.healthy)))
  const measured = new Map<Arm | 'start', readonly ScoredCase[]>()
  const measure = async (arms: readonly (Arm | 'start')[]) => {
    for (const arm of arms)
      await cost(`predict ${arm}`, () => predictMasks(folder, arm, world.testImages, context))
    return await cost('evaluate', async () => {
      const found = await evaluateArms(folder, arms, world, context.signal, true)
      for (const arm of arms) measured.set(arm, scoredCases(found.get(arm)!))
    })
  }
  for (const stage of stagesOf(plan)) {
    const run = join(folder, stage)
    if (stage === 'shrunk') {
      const copies = { config: shrunkConfig(cell, plan, world), out: join(world.root, shrunkFolder(cell)) }
      await cost('copies', async () => void (await synthesize(copies, { signal: context.signal })))
    }
    await cost(stage, () => trainStage(run, stageConfig(stage, cell, plan, world, weights, facts), context))
    if (stage in weights) weights[stage as keyof Weights] = await modelOf(run)
    if (stage !== 'start') continue
    // before the other arms, because their sizes may be those that the start misses
    await measure(['start'])
    const cases = measured.get('start')!
    facts = { ...facts, missedSizes: sizesMissed(pointOf(cases), cases.filter(named(validation.sick))) }
  }
  const seconds = await measure(plan.arms)
  const arms = Object.fromEntries(
    [...measured].map(([arm, cases]) => {
      const tested = cases.filter(named(test))
      const figures = { test: earlyFigures(pointOf(cases), tested), unfiltered: earlyFigures(0, tested) }
      return [arm, { ...figures, ...earlyCurves(tested) }]
    }),
  )
  const result: EarlyCell = { ...cell, arms, missedSizes: facts.missedSizes, cpuSeconds: seconds }
  await writeFile(join(folder, 'cell.json'), `${JSON.stringify(result)}\n`)
  // a cell is its figures; masks and checkpoints of many seeds would fill the disk
  for (const name of ['masks', 'evaluation', ...plan.arms, 'start', 'generator'])
    await rm(join(folder, name), { recursive: true, force: true })
  return result
}

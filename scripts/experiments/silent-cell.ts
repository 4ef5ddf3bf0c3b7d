import { rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Evaluation, mineHardNegatives } from 'freetumor'
import { type FittedCase, fitOperatingPoint, fittedCase } from '../../dist/evaluation/operating-fit.js'
import { type LesionRule, ruleValue } from '../../dist/evaluation/operating-point.js'
import { makeFolder } from '../../dist/whole-file.js'
import { type CellFacts, stageConfig, type Weights } from './arms.js'
import { type CellContext, evaluateArms, modelOf, namesIn, openCost, readJson, trainStage } from './cell.js'
import { type Arm, type Cell, cellName, stagesOf } from './plan.js'
import { type HeldOut, heldOutOf, predictMasks } from './policy-cell.js'
import { tumorVolumesMl } from './real-tumors.js'
import type { SilentPlan } from './silent-plan.js'
import { hostImages, labelledFiles, makeWorld } from './world.js'

/** Figures of the test cases at one operating point. */
export interface SilentFigures {
  readonly lesionFree: number
  readonly sensitivity: number
  /** Mean over healthy scans. */
  readonly falsePositives: number
}

export interface SilentResult {
  /** Name of the rule that the validation cases chose. */
  readonly rule: string
  /** All lesions kept. */
  readonly before: SilentFigures
  /** At the accepted loss on the validation cases; figures are those of the test cases. */
  readonly atLoss: readonly (SilentFigures & { readonly loss: number })[]
  /** Whether each healthy test case is lesion-free at the primary loss, in the order of the names. */
  readonly lesionFreeCases: readonly boolean[]
}

/** Content of `cell.json`. */
export interface SilentCell extends Cell {
  readonly arms: Readonly<Partial<Record<Arm, SilentResult>>>
  /** Listed false positives of the start in the hosts, and hosts without one. */
  readonly mined: { readonly listed: number; readonly lesionFree: number }
  readonly cpuSeconds: Readonly<Record<string, number>>
}

/** Run the missing stages of a cell; the held-out cases of each seed are its own. */
export async function runSilentCell(
  out: string,
  cell: Cell,
  silentPlan: SilentPlan,
  context: CellContext,
): Promise<SilentCell> {
  const folder = join(resolve(out), 'cells', cellName(cell))
  const done = await readJson<SilentCell>(join(folder, 'cell.json'))
  if (done) return done
  await makeFolder(folder)
  const cost = await openCost(folder, context.clock)
  const plan = { ...silentPlan, seeds: [cell.seed], testSeed: cell.seed + 1 }
  const world = await makeWorld(join(resolve(out), 'worlds', `seed-${cell.seed}`), plan, null)
  const heldOut = heldOutOf(silentPlan, await namesIn(world.testLabels))
  const files = await labelledFiles(world, cell.seed, cell.labelled)
  let facts: CellFacts = { tumorVolumesMl: await tumorVolumesMl(files.map(({ label }) => label)) }
  let mined: SilentCell['mined'] = { listed: 0, lesionFree: 0 }
  const weights: Record<keyof Weights, string | null> = {
    start: null,
    generator: null,
    untrainedGenerator: null,
  }
  for (const stage of stagesOf(plan)) {
    const run = join(folder, stage)
    await cost(stage, () => trainStage(run, stageConfig(stage, cell, plan, world, weights, facts), context))
    if (stage in weights) weights[stage as keyof Weights] = await modelOf(run)
    if (stage !== 'start') continue
    await cost('mine', async () => {
      const masks = join(folder, 'host-masks')
      await predictMasks(folder, 'start', hostImages(world, cell.seed), context, masks)
      const list = join(folder, 'hard-negatives.jsonl')
      const found = await mineHardNegatives(
        { predictions: masks, dataset: 'hosts', out: list, workers: 1 },
        { signal: context.signal },
      )
      mined = { listed: found.hardNegatives.length, lesionFree: found.lesionFree }
      const places = found.hardNegatives.map(({ case: id, mm, score }) => ({ case: id, mm, score }))
      facts = { ...facts, hardNegatives: places }
    })
  }
  for (const arm of plan.arms)
    await cost(`predict ${arm}`, () => predictMasks(folder, arm, world.testImages, context))
  let arms: SilentCell['arms'] = {}
  const seconds = await cost('evaluate', async () => {
    const measured = await evaluateArms(folder, plan.arms, world, context.signal, true, true)
    arms = Object.fromEntries(
      plan.arms.map((arm) => [arm, resultOf(silentPlan, measured.get(arm)!, heldOut)]),
    )
  })
  const result: SilentCell = { ...cell, arms, mined, cpuSeconds: seconds }
  await writeFile(join(folder, 'cell.json'), `${JSON.stringify(result)}\n`)
  // a cell is its figures; masks and checkpoints of many seeds would fill the disk
  for (const name of ['masks', 'host-masks', 'evaluation', ...plan.arms, 'start', 'generator'])
    await rm(join(folder, name), { recursive: true, force: true })
  return result
}

function resultOf(plan: SilentPlan, cases: Evaluation['cases'], heldOut: HeldOut): SilentResult {
  const { sick, healthy } = heldOut.validation
  const isOf = (names: readonly string[]) => {
    const stems = new Set(names.map((name) => name.replace(/\.nii\.gz$/, '')))
    return ({ caseId }: FittedCase) => stems.has(caseId.slice(caseId.indexOf('__') + 2))
  }
  const fitted = cases.map(fittedCase)
  return silentResult(plan, fitted.filter(isOf([...sick, ...healthy])), fitted.filter(isOf(heldOut.test)))
}

/** Fit the operating points on the validation cases, and measure them on the test cases. */
export function silentResult(
  { losses, primaryLoss }: Pick<SilentPlan, 'losses' | 'primaryLoss'>,
  validation: readonly FittedCase[],
  test: readonly FittedCase[],
): SilentResult {
  const { rule, chosen, before, curve } = fitOperatingPoint(validation, { sensitivityLoss: primaryLoss })
  const ruleAt = (loss: number): LesionRule => {
    const least = before.sensitivity.successes - loss * before.sensitivity.of - 1e-9
    const { threshold } = curve.findLast(({ sensitivity }) => sensitivity.successes >= least)!
    return { ...rule, threshold }
  }
  const primary = ruleAt(primaryLoss)
  const healthy = test.filter((one) => one.healthy).toSorted((a, b) => (a.caseId < b.caseId ? -1 : 1))
  return {
    rule: chosen,
    before: figuresAt({ ...rule, threshold: null }, test),
    atLoss: losses.map((loss) => ({ loss, ...figuresAt(ruleAt(loss), test) })),
    lesionFreeCases: healthy.map((one) => keptAt(primary, one).length === 0),
  }
}

/** Return the figures of cases after a rule has removed lesions. */
export function figuresAt(rule: LesionRule, cases: readonly FittedCase[]): SilentFigures {
  const healthy = cases.filter((one) => one.healthy).map((one) => keptAt(rule, one).length)
  const lesions = cases.reduce((sum, { numTrue }) => sum + numTrue, 0)
  const detected = cases.map((one) => new Set(keptAt(rule, one).flatMap(({ touches }) => touches)).size)
  return {
    lesionFree: healthy.filter((count) => count === 0).length / healthy.length,
    sensitivity: detected.reduce((sum, count) => sum + count, 0) / lesions,
    falsePositives: healthy.reduce((sum, count) => sum + count, 0) / healthy.length,
  }
}

function keptAt(rule: LesionRule, { predicted }: FittedCase): FittedCase['predicted'] {
  const { threshold } = rule
  return predicted.filter(({ features }) => threshold === null || ruleValue(rule, features) >= threshold)
}

import { createReadStream } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type ConfigInput, synthesize } from 'freetumor'
import { FROZEN_GENERATOR, stageConfig } from './arms.js'
import { type CellContext, modelOf, readJson, trainStage } from './cell.js'
import { type Cell, cellName, cellsOf, isJudged, type Plan } from './plan.js'
import { meanLook, type TumorLook, tumorLooks, tumorVolumesMl } from './real-tumors.js'
import { labelledFiles, type World } from './world.js'

/** Content of `checks.json`: whether generator and discriminator learn, and the appearance of their tumors. */
export interface Checks {
  readonly cell: Cell
  /**
   * Mean detected fraction of the synthetic voxels, in the first and in the last tenth of the generator's steps, by
   * cell.
   */
  readonly shareSeen: readonly { readonly cell: string; readonly first: number; readonly last: number }[]
  /** A new discriminator against a generator that does not learn: its loss over the last third of its steps. */
  readonly discriminatorLoss: { readonly untrainedGenerator: number; readonly trainedGenerator: number }
  /** Real tumors of the labelled cases, and synthetic ones of the same size written into the hosts. */
  readonly looks: Readonly<Record<string, TumorLook | null>>
  readonly judged: readonly JudgedArm[]
}

/** Tumors in an arm's ledger: those that quality control accepted, and those that it rejected. */
export interface JudgedArm {
  readonly cell: string
  readonly arm: string
  readonly kept: number
  readonly rejected: number
  readonly measures: Readonly<
    Record<string, { readonly kept: number | null; readonly rejected: number | null }>
  >
}

/** Run the checks on the first cell; add the results of quality control of all complete cells. */
export async function checkGenerator(
  out: string,
  plan: Plan,
  world: World,
  context: CellContext,
): Promise<void> {
  const cell = cellsOf(plan)[0]!
  const folder = join(out, 'cells', cellName(cell))
  const files = await labelledFiles(world, cell.seed, cell.labelled)
  const facts = { tumorVolumesMl: await tumorVolumesMl(files.map(({ label }) => label)) }
  const weights = {
    start: await modelOf(join(folder, 'start')),
    generator: await modelOf(join(folder, 'generator')),
    untrainedGenerator: null,
  }
  const config = (stage: 'generator' | 'trained' | 'handCrafted'): ConfigInput =>
    stageConfig(stage, cell, plan, world, weights, facts)

  const discriminator = async (name: string, generator: string | null): Promise<number> => {
    const run = join(out, 'checks', name)
    const base = config('generator')
    await trainStage(
      run,
      {
        ...base,
        networks: { ...base.networks, generator: { ...base.networks?.generator, checkpoint: generator } },
        training: { ...base.training, steps: plan.discriminatorSteps, freeze: FROZEN_GENERATOR },
      },
      context,
    )
    return await meanLoss(run, 'discriminator', 2 / 3)
  }
  const discriminatorLoss = {
    untrainedGenerator: await discriminator('discriminator-untrained-generator', null),
    trainedGenerator: await discriminator('discriminator-trained-generator', weights.generator),
  }

  const looks: Record<string, TumorLook | null> = { real: meanLook(await tumorLooks(files)) }
  for (const stage of ['handCrafted', 'trained'] as const) {
    const made = join(out, 'checks', `synthetic-${stage}`)
    context.say(`checks: synthetic data set, ${stage}`)
    await synthesize({ config: config(stage), out: made }, { signal: context.signal })
    const names = (await readdir(join(made, 'imagesTr'))).sort()
    const pairs = names.map((name) => ({
      image: join(made, 'imagesTr', name),
      label: join(made, 'labelsTr', name),
    }))
    looks[stage] = meanLook(await tumorLooks(pairs))
  }
  const known = await Promise.all(
    cellsOf(plan).map(async (one) =>
      (await readJson(join(out, 'cells', cellName(one), 'cell.json'))) ? [one] : [],
    ),
  )
  const cells = known.flat()
  const judged = await Promise.all(
    cells.flatMap((one) =>
      plan.arms
        .filter(isJudged)
        .map((arm) => judgedArm(cellName(one), arm, join(out, 'cells', cellName(one), arm))),
    ),
  )
  const shareSeen = await Promise.all(
    cells.map(async (one) => ({
      cell: cellName(one),
      ...(await risingShare(join(out, 'cells', cellName(one), 'generator'))),
    })),
  )
  const checks: Checks = { cell, shareSeen, discriminatorLoss, looks, judged }
  await writeFile(join(out, 'checks.json'), `${JSON.stringify(checks, null, 2)}\n`)
}

export function readChecks(out: string): Promise<Checks | null> {
  return readJson<Checks>(join(out, 'checks.json'))
}

/** Read the objects of a JSON-lines file, one after another. */
export async function* linesOf<T>(file: string): AsyncGenerator<T> {
  for await (const line of createInterface({ input: createReadStream(file) }))
    if (line.trim() !== '') yield JSON.parse(line) as T
}

interface Line {
  readonly type: string
  readonly losses?: Readonly<Record<string, number>>
  readonly shareSeen?: number | null
}

async function meanLoss(run: string, name: string, from: number): Promise<number> {
  const values: number[] = []
  for await (const event of linesOf<Line>(join(run, 'events.jsonl')))
    if (event.type === 'step') values.push(event.losses![name]!)
  return mean(values.slice(Math.floor(values.length * from)))
}

async function risingShare(run: string): Promise<{ first: number; last: number }> {
  const shares: number[] = []
  for await (const event of linesOf<Line>(join(run, 'events.jsonl')))
    if (event.type === 'synthesis' && typeof event.shareSeen === 'number') shares.push(event.shareSeen)
  const part = Math.max(1, Math.round(shares.length / 10))
  return { first: mean(shares.slice(0, part)), last: mean(shares.slice(-part)) }
}

interface LedgerLine {
  readonly verdict: string
  readonly measures?: Readonly<Record<string, number>>
}

const TOLD = ['contrastHu', 'edgeSharpnessHuPerMm', 'volumeMl', 'shareSeen']

async function judgedArm(cell: string, arm: string, run: string): Promise<JudgedArm> {
  const lines: Record<'accepted' | 'rejected', LedgerLine[]> = { accepted: [], rejected: [] }
  for await (const line of linesOf<LedgerLine>(join(run, 'ledger.jsonl')))
    if (line.verdict === 'accepted' || line.verdict === 'rejected') lines[line.verdict].push(line)
  const meanOf = (some: readonly LedgerLine[], name: string): number | null => {
    const values = some.flatMap(({ measures }) => measures?.[name] ?? [])
    return values.length === 0 ? null : mean(values)
  }
  return {
    cell,
    arm,
    kept: lines.accepted.length,
    rejected: lines.rejected.length,
    measures: Object.fromEntries(
      TOLD.map((name) => [
        name,
        { kept: meanOf(lines.accepted, name), rejected: meanOf(lines.rejected, name) },
      ]),
    ),
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
}

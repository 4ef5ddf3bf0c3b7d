/** Cells of an experiment whose plan is frozen: each seed has its own cases, and several processes may share the seeds. */
import { join } from 'node:path'
import { makeFolder } from '../../dist/whole-file.js'
import { type CellContext, readJson, Stopped } from './cell.js'
import { refuseAnotherPlan, Usage } from './command-line.js'
import { CpuClock } from './cpu-clock.js'
import { type Cell, cellName } from './plan.js'

/** The part of a plan that decides the cells. */
export interface CellPlan {
  readonly labelled: readonly number[]
}

/** Run the missing stages of a cell. */
export type RunCell<P, C> = (out: string, cell: Cell, plan: P, context: CellContext) => Promise<C>

/** One of several processes that share the seeds: the seeds whose place modulo `count` is `at`. */
export interface Part {
  readonly at: number
  readonly count: number
}

/** Return the part of an option such as 1/2. @throws Usage */
export function partOf(text: string): Part {
  const [at, count] = (/^([1-9]\d?)\/([1-9]\d?)$/.exec(text) ?? []).slice(1).map(Number)
  if (at === undefined || count === undefined || at > count)
    throw new Usage(`--part: wrong value (expected I/N with I <= N, such as 1/2, found ${text})`)
  return { at: at - 1, count }
}

/** Run the cells of a part, seed after seed, so that whole seeds are there early. */
export async function runCells<P extends CellPlan, C>(
  out: string,
  plan: P,
  seeds: readonly number[],
  part: Part,
  runCell: RunCell<P, C>,
): Promise<C[]> {
  await makeFolder(out)
  await refuseAnotherPlan(out, { ...plan, seeds })
  const cells: C[] = []
  const context = openContext()
  const own = seeds.filter((_, place) => place % part.count === part.at)
  for (const cell of cellsOf(plan, own)) cells.push(await runCell(out, cell, plan, context))
  context.clock.stop()
  return cells
}

/** Read the complete cells of all parts. */
export async function completeCells<C>(out: string, plan: CellPlan, seeds: readonly number[]): Promise<C[]> {
  await makeFolder(out)
  await refuseAnotherPlan(out, { ...plan, seeds })
  const cells = await Promise.all(
    cellsOf(plan, seeds).map((cell) => readJson<C>(join(out, 'cells', cellName(cell), 'cell.json'))),
  )
  return cells.filter((cell) => cell !== null)
}

function cellsOf(plan: CellPlan, seeds: readonly number[]): Cell[] {
  return seeds.flatMap((seed) => plan.labelled.map((labelled) => ({ seed, labelled })))
}

function openContext(): CellContext {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => stop.abort(new Stopped(signal)))
  const clock = new CpuClock().start()
  const say = (text: string): void =>
    void process.stderr.write(
      `${new Date().toISOString().slice(11, 19)} ${clock.seconds().toFixed(0)} s  ${text}\n`,
    )
  return { clock, signal: stop.signal, say }
}

import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { z } from 'zod'
import { UsageError } from '../errors.js'
import { readForeignJson } from '../foreign-text.js'
import {
  auditData,
  checkConfig,
  checkData,
  describeRun,
  explainKey,
  inspectCheckpoint,
  listRuns,
  planRun,
  readEvents,
  readLedger,
} from '../index.js'
import { overviewOfReviews, reviewFileAt } from '../pipeline/review-summary.js'
import type { Places } from './places.js'

/** Stop signal and progress of a call. */
export interface Call {
  readonly signal: AbortSignal
  progress(done: number, total: number): void
}

/** A tool of the server. */
export interface Tool<Input extends z.ZodObject = z.ZodObject> {
  readonly name: string
  /** Read by the agent to choose the tool. */
  readonly description: string
  /** Unknown keys are refused. */
  readonly input: Input
  /** True if it writes files or changes a run. */
  readonly writes: boolean
  run(input: z.infer<Input>, call: Call): Promise<unknown>
}

/** Return a tool with the type of its input. */
export function tool<Shape extends z.ZodRawShape>(
  name: string,
  description: string,
  shape: Shape,
  run: (input: z.infer<z.ZodObject<Shape>>, call: Call) => Promise<unknown>,
  writes = false,
): Tool {
  return { name, description, input: z.strictObject(shape), writes, run } as unknown as Tool
}

export const path = (what: string) =>
  z
    .string()
    .min(1)
    .max(1000)
    .regex(/^[^\0]*$/)
    .describe(what)
const source = {
  paths: z.array(path('data set, list, manifest or scan')).min(1).max(100),
  map: z.string().max(1000).optional().describe('label ids: region, a preset, or source:target,...'),
  region: z.enum(['abdomen', 'chest']).optional(),
}
export const configFile = path('configuration (.yaml, .yml, .json), or the name of a shipped one')
const last = (most: number) => z.int().min(1).max(most).default(20)
const runFolder = path('run directory')

/** Return the tools that read and plan. They write nothing. */
export function readingTools(places: Places): Tool[] {
  const all = (paths: readonly string[]) => Promise.all(paths.map((one) => places.data(one)))
  return [
    tool(
      'check_data',
      'Check every voxel of the cases of data sets; return findings with cause and remedy.',
      source,
      async ({ paths, map, region }, { signal, progress }) =>
        checkData(await all(paths), { map, region, signal, onCase: progress }),
    ),
    tool(
      'audit_data',
      'Find copies of one scan, patients in two folds and known overlaps between data sets.',
      source,
      async ({ paths, map, region }, { signal }) => auditData(await all(paths), { map, region, signal }),
    ),
    tool(
      'explain_key',
      'Explain a key or a section of the configuration: description, unit, default, effect.',
      { key: z.string().min(1).max(200) },
      async ({ key }) => explainKey(key),
    ),
    tool(
      'check_config',
      'Check a configuration against its data and checkpoints, as a training would.',
      { config: configFile, data: z.boolean().default(true).describe('also read the data') },
      async ({ config, data }, { signal }) => checkConfig(await places.config(config), { data, signal }),
    ),
    tool(
      'plan_run',
      'Plan a training: cases, steps, memory, command. Nothing is started.',
      { config: configFile },
      async ({ config }) => planRun(await places.config(config), { measure: false }),
    ),
    tool(
      'list_runs',
      'List the runs below a folder with their state, at most three levels deep.',
      { folder: path('folder').default('.') },
      async ({ folder }) => {
        const runs = await listRuns(await places.path(folder, 'kept'))
        const isInside = (run: string) =>
          places.path(run).then(
            () => true,
            () => false,
          )
        const kept = await Promise.all(runs.map(({ directory }) => isInside(directory)))
        return runs.filter((_, at) => kept[at])
      },
    ),
    tool(
      'describe_run',
      'Return the state of a run: step, losses, Dice, checkpoint, reason of its end.',
      { run: runFolder },
      async ({ run }) => describeRun(await places.path(run)),
    ),
    tool(
      'wait_for_run',
      'Wait until a run has ended or the time is over; return its state.',
      { run: runFolder, seconds: z.int().min(1).max(600).default(60) },
      async ({ run, seconds }, { signal, progress }) => {
        const folder = await places.path(run)
        const until = Date.now() + seconds * 1000
        let state = await describeRun(folder)
        while (['checking', 'starting', 'training', 'paused', 'pending'].includes(state.state)) {
          const left = until - Date.now()
          if (left <= 0) break
          progress(state.step, state.steps ?? 0)
          await wait(Math.min(left, 1000), undefined, { signal })
          state = await describeRun(folder)
        }
        return state
      },
    ),
    tool(
      'read_events',
      'Return the last events of a run, such as steps, validations and failures.',
      { run: runFolder, type: z.string().max(40).optional().describe('only this type'), last: last(200) },
      async ({ run, type, last: count }) =>
        lastOf(readEvents(await places.path(run)), count, (event) => !type || event.type === type),
    ),
    tool(
      'read_ledger',
      'Count the verdicts on synthetic tumors by reason; return the last attempts.',
      { path: path('folder of a run or of a synthetic data set'), last: last(100) },
      async ({ path: named, last: count }) => {
        const reasons: Record<string, number> = {}
        const attempts = await lastOf(readLedger(await places.path(named)), count, (line) => {
          const reason = `${line.verdict}: ${line.reason ?? 'no reason'}`
          reasons[reason] = (reasons[reason] ?? 0) + 1
          return true
        })
        return { attempts, reasons }
      },
    ),
    tool(
      'read_evaluation',
      'Return the figures of an evaluation, from its summary.json.',
      { path: path('output folder of evaluate') },
      async ({ path: named }) => {
        const file = await places.path(join(named, 'summary.json'))
        const summary = await readForeignJson(file)
        if (typeof summary !== 'object' || summary === null)
          throw new UsageError(`${named}: no evaluation (expected an object in summary.json)`, {
            hint: 'name the output folder of an evaluation',
          })
        return summary
      },
    ),
    tool(
      'inspect_checkpoint',
      'Describe a checkpoint file without running its code: networks, format, hash, hints.',
      { file: path('checkpoint file, run directory or model folder') },
      async ({ file }, { signal }) => inspectCheckpoint(await places.path(file), { signal }),
    ),
    tool(
      'review_agreement',
      'Return the decisions of reviewers on synthetic tumors and their agreement.',
      { path: path('folder of a synthetic data set, or reviews.jsonl') },
      async ({ path: named }) => overviewOfReviews(await reviewFileAt(await places.path(named))),
    ),
  ]
}

/** Return the last items that are wanted. */
async function lastOf<T>(items: AsyncIterable<T>, count: number, wanted: (item: T) => boolean): Promise<T[]> {
  const kept: T[] = []
  for await (const item of items)
    if (wanted(item)) {
      kept.push(item)
      if (kept.length > count) kept.shift()
    }
  return kept
}

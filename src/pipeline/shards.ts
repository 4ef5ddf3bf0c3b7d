import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { MAX_SHARDS, refuseWrongShard, type Shard } from '../curation/datasets/shard.js'
import { DataError, EnvironmentError, FreetumorError, StoppedError, UsageError } from '../errors.js'
import { asRecord, parseForeignJson, readForeignJson } from '../foreign-text.js'
import { openJsonLog, readJsonLog } from '../jsonl.js'
import { quoted } from '../plain-text.js'
import { typedSystemError } from '../system-errors.js'
import { type FileState, statesOfScans } from '../volume/scan-files.js'
import { makeFolder, sweepUnfinished, temporaryName, writeWhole } from '../whole-file.js'
import type { StageContext } from './context.js'
import { WRITING, WRITING_SHARD, WRITING_SHARDS } from './locks.js'
import type { DirectoryLock } from './ports/common.js'

/** Commands whose cases can be shared between shards. */
export type ShardedCommand =
  | 'prepare'
  | 'data check'
  | 'data audit'
  | 'synthesize'
  | 'predict'
  | 'organs'
  | 'evaluate'

/** Folder of the records of shards, in the output folder. */
const SHARDS = 'shards'
const PLAN = 'plan.json'
const RECORD = 'record.json'
/** Limits of a record: it holds the measures of all cases of its shard. */
const RECORD_BOUNDS = { bytes: 500e6, values: 20_000_000 }

/** Content of `shards/plan.json`: the facts that all shards of a command have in common. */
export interface ShardPlan<S = unknown> {
  readonly version: 1
  readonly command: ShardedCommand
  readonly count: number
  /** Command line without `--shard`; null for a call of the library. */
  readonly commandLine: string | null
  /** Settings that decide the results; a shard with others is refused. */
  readonly settings: S
}

/** Content of `shards/I-of-N/record.json`: the results of one shard. */
export interface ShardRecord<P = unknown> {
  readonly version: 1
  readonly index: number
  readonly outcome: 'completed' | 'failed'
  /** Error of a failed shard. */
  readonly message: string | null
  /** ISO 8601. */
  readonly time: string
  /** Number of cases of all shards, and a hash of their ids in order: all shards must see the same cases. */
  readonly total: number
  readonly order: string
  /** Ids of the cases of this shard. */
  readonly cases: readonly string[]
  /** Files that it read, with their sizes and times at its start; absent for a command that keeps them elsewhere. */
  readonly inputs?: readonly InputState[] | undefined
  readonly part: P
}

interface InputState {
  readonly file: string
  readonly states: readonly FileState[]
}

/** Results of a shard: for the merge, and for the caller. */
export interface ShardResult<P, T> {
  readonly part: P
  readonly result: T
}

interface ShardedWork<S> {
  readonly command: ShardedCommand
  /** Output folder. */
  readonly directory: string
  readonly shard: Shard
  readonly settings: S
  /** Ids of the cases of all shards, in order, and those of this shard. */
  readonly ids: readonly string[]
  readonly cases: readonly string[]
  /** Absolute paths of the files that this shard reads: a merge refuses it after one has changed. */
  readonly inputs?: readonly string[] | undefined
}

/** The parts of a context that shards need. */
export type ShardContext = Pick<StageContext, 'note'> & {
  readonly runtime: Pick<StageContext['runtime'], 'lock'>
}

/**
 * Work on one shard: lock the output folder together with other shards, and the shard for this process alone; then write
 * the record of the shard. The record of an earlier start is removed first.
 * @param run receives the folder of the shard
 * @throws UsageError for shards of other settings or another number, and if another process works on the shard or the folder
 */
export async function workOnShard<S, P, T>(
  { command, directory, shard, settings, ids, cases, inputs }: ShardedWork<S>,
  context: ShardContext,
  run: (folder: string) => Promise<ShardResult<P, T>>,
): Promise<T> {
  refuseWrongShard(shard)
  await makeFolder(join(directory, SHARDS))
  await using _folder = await context.runtime.lock(directory, WRITING_SHARDS)
  const { index, count } = shard
  const commandLine = shard.commandLine ?? null
  await claimPlan(directory, { version: 1, command, count, commandLine, settings })
  const folder = shardFolder(directory, shard)
  await makeFolder(folder)
  await using _shard = await context.runtime.lock(folder, WRITING_SHARD)
  await sweepUnfinished(folder)
  const file = join(folder, RECORD)
  await rm(file, { force: true })
  const read = inputs && (await inputStates(inputs))
  const write = (outcome: ShardRecord['outcome'], message: string | null, part: P | null): Promise<void> =>
    writeWhole(
      file,
      JSON.stringify({
        version: 1,
        index,
        outcome,
        message,
        time: new Date().toISOString(),
        total: ids.length,
        order: orderOf(ids),
        cases,
        inputs: read,
        part,
      } satisfies ShardRecord<P | null>),
    )
  try {
    const { part, result } = await run(folder)
    await write('completed', null, part)
    context.note(
      `shard ${index} of ${count} is complete; after all, run \`freetumor merge ${quoted(directory)}\``,
    )
    return result
  } catch (error) {
    // the error of the work counts, not that of a full disk
    await write('failed', whyFailed(error), null).catch(() => {})
    throw error
  }
}

/** Return the folder for the records of a shard. */
export function shardFolder(directory: string, { index, count }: Shard): string {
  return join(directory, SHARDS, `${index}-of-${count}`)
}

/**
 * Prepare the log of a shard for its cases only. A new log starts with their lines in the merged log: finished work is reused.
 */
export async function startLog<T extends { readonly case: string }>(
  path: string,
  merged: string,
  cases: readonly string[],
): Promise<void> {
  const mine = new Set(cases)
  if (existsSync(path)) {
    await (await openJsonLog<T>(path, { keep: (line) => mine.has(line.case) })).close()
    return
  }
  const lines: string[] = []
  if (existsSync(merged))
    for await (const line of readJsonLog<T>(merged))
      if (mine.has(line.case)) lines.push(`${JSON.stringify(line)}\n`)
  await writeWhole(path, lines.join(''))
}

/**
 * Lock an output folder for this process alone if it holds shards; else, return null.
 * @throws UsageError if shards are being written
 */
export async function lockUnsharded(
  directory: string,
  { runtime }: Pick<ShardContext, 'runtime'>,
): Promise<DirectoryLock | null> {
  return existsSync(join(directory, SHARDS)) ? await runtime.lock(directory, WRITING) : null
}

/** A merged command: its plan, and the records of all shards in order. */
export interface WholeShards<S, P> {
  readonly plan: ShardPlan<S>
  readonly records: readonly ShardRecord<P>[]
  /** Position of each case in the whole list, by id. */
  readonly position: ReadonlyMap<string, number>
}

/**
 * Read the records of all shards.
 * @throws UsageError if there are none; DataError that names each missing, failed or outdated shard with its command
 */
export async function readShards<S, P>(directory: string): Promise<WholeShards<S, P>> {
  const plan = (await readPlan(directory)) as ShardPlan<S> | null
  if (plan === null)
    throw new UsageError(`${directory}: holds no shards (expected ${SHARDS}/${PLAN}, found none)`, {
      hint: 'name the output folder of a command with --shard',
    })
  const found: (ShardRecord<P> | null)[] = []
  for (let index = 1; index <= plan.count; index++)
    found.push(
      await readRecord<P>(directory, plan, index).catch((error: unknown) => {
        if (!(error instanceof DataError)) throw error
        throw new DataError(error.message, { hint: `run ${commandOf(plan, index)} again`, cause: error })
      }),
    )
  const newest = found.reduce((a, b) => (a === null || (b !== null && b.time > a.time) ? b : a), null)
  const unfinished: { index: number; reason: string }[] = []
  for (const [at, record] of found.entries()) {
    const reason = whyUnfinished(record, newest) ?? (await whyOutdated(record!))
    if (reason !== null) unfinished.push({ index: at + 1, reason })
  }
  if (unfinished.length > 0) throw unfinishedError(directory, plan, unfinished)
  const records = found.map((record) => record!)
  const position = new Map(
    records.flatMap(({ cases, index }) => cases.map((id, at) => [id, index - 1 + at * plan.count] as const)),
  )
  return { plan, records, position }
}

/** Return the command of the shards in a folder; null if it holds none. */
export async function commandOfShards(directory: string): Promise<ShardedCommand | null> {
  return (await readPlan(directory))?.command ?? null
}

/** Return a copy of entries of all shards, sorted by their case. */
export function byCase<T>(
  { position }: Pick<WholeShards<unknown, unknown>, 'position'>,
  entries: readonly T[],
  idOf: (entry: T) => string,
): T[] {
  return [...entries].sort((a, b) => position.get(idOf(a))! - position.get(idOf(b))!)
}

/** Return a hash of ids in their order. */
export function orderOf(ids: readonly string[]): string {
  const hash = createHash('sha256')
  for (const id of ids) hash.update(`${id}\n`)
  return hash.digest('hex')
}

function whyFailed(error: unknown): string {
  if (error instanceof StoppedError) return 'it was stopped'
  return error instanceof FreetumorError ? error.message : `unexpected error: ${error}`
}

function whyUnfinished(record: ShardRecord | null, newest: ShardRecord | null): string | null {
  if (record === null) return 'it has not finished'
  if (record.outcome === 'failed') return record.message ?? 'it failed'
  const isCurrent = record.order === newest!.order && record.total === newest!.total
  return isCurrent ? null : `it saw ${record.total} cases, and the newest shard ${newest!.total} or others`
}

async function whyOutdated({ inputs = [] }: ShardRecord): Promise<string | null> {
  const now = await inputStates(inputs.map(({ file }) => file))
  const changed = inputs.find((one, at) => !isDeepStrictEqual(one.states, now[at]!.states))
  return changed === undefined ? null : `${changed.file} changed after the shard had begun`
}

async function inputStates(files: readonly string[]): Promise<InputState[]> {
  const states = await statesOfScans(files)
  return files.map((file, at) => ({ file, states: states[at]! }))
}

/**
 * Compare the cases of all shards with those that the inputs hold now.
 * @throws DataError if cases were added, removed or renamed
 */
export function refuseOtherCases(
  directory: string,
  { records }: Pick<WholeShards<unknown, unknown>, 'records'>,
  ids: readonly string[],
): void {
  const { order, total } = records[0]!
  if (orderOf(ids) !== order)
    throw new DataError(
      `${directory}: the data sets changed after the shards (expected ${total} cases, found ${ids.length} or others)`,
      { hint: 'run all shards again: finished work is reused' },
    )
}

/** Number of unfinished shards that an error lists; its facts have all. */
const LISTED = 20

function unfinishedError(
  directory: string,
  plan: ShardPlan,
  unfinished: readonly { readonly index: number; readonly reason: string }[],
): DataError {
  const lines = unfinished
    .slice(0, LISTED)
    .map(({ index, reason }) => `  shard ${index}: ${reason}; run ${commandOf(plan, index)}`)
  const more = unfinished.length > LISTED ? `\n  and ${unfinished.length - LISTED} more` : ''
  return new DataError(
    `${directory}: ${unfinished.length} of ${plan.count} shards are not complete:\n${lines.join('\n')}${more}`,
    {
      hint: 'run these shards, then merge again',
      facts: { unfinished: unfinished.map((one) => ({ ...one, command: commandOf(plan, one.index) })) },
    },
  )
}

function commandOf({ command, commandLine, count }: ShardPlan, index: number): string {
  return commandLine === null
    ? `${command} with shard ${index} of ${count}`
    : `\`${commandLine} --shard ${index}/${count}\``
}

/**
 * Write the plan, or compare it with that of the first shard. `link` fails for all but one of several writers.
 * @throws UsageError for another command, number of shards, or settings
 */
async function claimPlan(directory: string, plan: ShardPlan): Promise<void> {
  const path = join(directory, SHARDS, PLAN)
  if (!existsSync(path)) {
    const aside = temporaryName(path)
    await writeWhole(aside, `${JSON.stringify(plan, null, 2)}\n`)
    try {
      await link(aside, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw typedSystemError(error, path)
    } finally {
      await rm(aside, { force: true })
    }
  }
  const before = await readPlan(directory)
  if (before === null)
    throw new EnvironmentError(`${path}: cannot be read (another shard has just written it)`, {
      hint: 'run the shard again',
    })
  // as in the file, where undefined keys are absent
  const now = JSON.parse(JSON.stringify(plan)) as ShardPlan
  const hint = `remove ${join(directory, SHARDS)} to start over: finished cases are reused`
  if (before.command !== now.command || before.count !== now.count)
    throw new UsageError(
      `${directory}: holds other shards (expected \`${now.command}\` in ${now.count} shards, found \`${before.command}\` in ${before.count})`,
      { hint },
    )
  const [old, wanted] = [asRecord(before.settings) ?? {}, asRecord(now.settings) ?? {}]
  const different = [...new Set([...Object.keys(old), ...Object.keys(wanted)])].filter(
    (key) => JSON.stringify(old[key]) !== JSON.stringify(wanted[key]),
  )
  if (different.length > 0)
    throw new UsageError(`${directory}: holds shards of other settings (${different.join(', ')})`, { hint })
}

async function readPlan(directory: string): Promise<ShardPlan | null> {
  const path = join(directory, SHARDS, PLAN)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
    throw typedSystemError(error)
  })
  if (text === null) return null
  const plan = asRecord(parseForeignJson(text, path)) as ShardPlan | undefined
  const isPlan =
    plan?.version === 1 &&
    typeof plan.command === 'string' &&
    (plan.commandLine === null || typeof plan.commandLine === 'string') &&
    Number.isSafeInteger(plan.count) &&
    plan.count >= 1 &&
    plan.count <= MAX_SHARDS
  if (isPlan) return plan
  throw new DataError(`${path}: is no plan of shards of this version`, {
    hint: `remove ${join(directory, SHARDS)}, and run the shards again`,
  })
}

async function readRecord<P>(
  directory: string,
  { count }: ShardPlan,
  index: number,
): Promise<ShardRecord<P> | null> {
  const path = join(shardFolder(directory, { index, count }), RECORD)
  if (!existsSync(path)) return null
  const record = asRecord(await readForeignJson(path, RECORD_BOUNDS)) as ShardRecord<P> | undefined
  const isRecord = record?.version === 1 && record.index === index && Array.isArray(record.cases)
  return isRecord ? record : null
}

/** Return the only folder with shards below `folder` whose name has the prefix, or `folder` itself if it holds shards. */
export async function shardsBelow(folder: string, prefix: string): Promise<string> {
  if (existsSync(join(folder, SHARDS, PLAN))) return folder
  const names = (await readdir(folder).catch(() => [] as string[])).filter(
    (name) => name.startsWith(prefix) && existsSync(join(folder, name, SHARDS, PLAN)),
  )
  if (names.length > 1)
    throw new UsageError(
      `${folder}: holds the shards of several configurations (${names.sort().join(', ')})`,
      {
        hint: `name one of these folders, or the configuration`,
      },
    )
  return names.length === 1 ? join(folder, names[0]!) : folder
}

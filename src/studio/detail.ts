import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { differencesFromDefaults } from '../config/differences.js'
import { loadConfig } from '../config/load.js'
import { RECORD } from '../config/paths.js'
import type { FailureCard } from '../errors.js'
import { asRecord } from '../foreign-text.js'
import type { PlacedRun } from './catalogue.js'
import { openInside, readJsonInside, readTextInside, realPathInside } from './inside.js'
import type { RankLogName, RunDetail } from './messages.js'

/** End of a log that is shown. */
const TAIL_BYTES = 64 * 1024
const MAX_LOGS = 256
const MAX_LINES = 200

/** Return the configuration of a run and the names of its logs. */
export async function detailOf(place: PlacedRun): Promise<RunDetail> {
  const problems: string[] = []
  const orProblem = async <T>(work: Promise<T>, otherwise: T): Promise<T> =>
    work.catch((error: Error) => {
      problems.push(error.message)
      return otherwise
    })
  const file = join(place.directory, RECORD)
  const configText = await orProblem(readTextInside(place.root, file), null)
  const differences =
    configText === null
      ? []
      : await orProblem(loadConfig(file, { onNote: () => {} }).then(differencesFromDefaults), [])
  return { configText, differences, logs: await orProblem(rankLogsOf(place), []), problems }
}

/** Return the last failure of a run; null if there is none, or its card is damaged. @throws DataError */
export async function readFailure({ root, directory }: PlacedRun): Promise<FailureCard | null> {
  const card = asRecord(await readJsonInside(root, join(directory, 'failure.json')))
  if (card === undefined) return null
  const text = (key: string): string => (typeof card[key] === 'string' ? (card[key] as string) : '')
  const count = (key: string): number | null => (Number.isInteger(card[key]) ? (card[key] as number) : null)
  return {
    kind: text('kind') as FailureCard['kind'],
    rank: count('rank'),
    message: text('message'),
    hint: text('hint'),
    signal: text('signal') || null,
    exitCode: count('exitCode'),
    traceback: text('traceback'),
    lastLines: Array.isArray(card.lastLines) ? card.lastLines.slice(-MAX_LINES).map(String) : [],
    logs: text('logs'),
    time: text('time'),
  }
}

/** Return the end of the log of a rank; null if it has none. @throws DataError */
export async function tailOf(place: PlacedRun, node: number, rank: number): Promise<string | null> {
  await using file = await openInside(place.root, rankLog(place, node, rank))
  if (file === null) return null
  const { size } = await file.stat()
  const start = Math.max(0, size - TAIL_BYTES)
  const buffer = Buffer.alloc(Math.min(size, TAIL_BYTES))
  const { bytesRead } = await file.read(buffer, 0, buffer.length, start)
  const text = new TextDecoder().decode(buffer.subarray(0, bytesRead))
  // the first line is truncated
  return start > 0 ? text.slice(text.indexOf('\n') + 1) : text
}

function rankLog({ directory }: PlacedRun, node: number, rank: number): string {
  return join(directory, 'logs', `node-${node}`, `rank-${rank}`, 'output.log')
}

async function rankLogsOf(place: PlacedRun): Promise<RankLogName[]> {
  const folder = await realPathInside(place.root, join(place.directory, 'logs'))
  if (folder === null) return []
  const found: RankLogName[] = []
  for (const node of await numbersIn(folder, /^node-(\d+)$/))
    for (const rank of await numbersIn(join(folder, `node-${node}`), /^rank-(\d+)$/)) {
      if (found.length >= MAX_LOGS) return found
      await using file = await openInside(place.root, rankLog(place, node, rank))
      if (file !== null) found.push({ node, rank, bytes: (await file.stat()).size })
    }
  return found
}

async function numbersIn(folder: string, pattern: RegExp): Promise<number[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => pattern.exec(name)?.[1])
  return names
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b)
}

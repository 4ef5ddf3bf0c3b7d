import { randomBytes } from 'node:crypto'
import { lstat, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { REQUESTS_FOLDER } from '../cluster/folders.js'
import { FreetumorError, RuntimeCrashError, UsageError } from '../errors.js'
import { readForeignJson } from '../foreign-text.js'
import { writeWhole } from '../whole-file.js'
import { reviveError } from './events.js'

/** Exists while a process answers. A killed process leaves it. */
const SERVING_FILE = 'serving.json'
const REQUEST = /^[0-9a-f]{16}\.request\.json$/
/** The folder may be on a network disk without notifications. */
const POLL_MS = 500

/** Carries out a request and returns its answer, which must be JSON. */
export type RequestAnswer = (request: unknown) => Promise<unknown>

type Outcome =
  | { readonly answer: unknown }
  | { readonly refusal: { kind: string; message: string; hint: string } }

/** Answer the requests in the folder of a run until the result is disposed; without the folder do nothing. */
export async function serveRequests(directory: string, answer: RequestAnswer): Promise<AsyncDisposable> {
  const folder = join(directory, REQUESTS_FOLDER)
  if (!(await isPrivate(folder))) return { [Symbol.asyncDispose]: async () => {} }
  await writeWhole(join(folder, SERVING_FILE), `${JSON.stringify({ pid: process.pid })}\n`, 0o600)
  const open = new AbortController()
  const taken = new Map<string, Promise<void>>()
  const polled = (async () => {
    while (!open.signal.aborted) {
      const names = await readdir(folder).catch(() => [] as string[])
      for (const name of names.filter((one) => REQUEST.test(one) && !taken.has(one))) {
        taken.set(
          name,
          respond(join(folder, name), answer).finally(() => taken.delete(name)),
        )
      }
      await wait(POLL_MS, undefined, { signal: open.signal, ref: false }).catch(() => {})
    }
  })()
  return {
    async [Symbol.asyncDispose]() {
      open.abort()
      await polled
      // the run has ended, so that each command has its answer
      await Promise.all(taken.values())
      await rm(join(folder, SERVING_FILE), { force: true }).catch(() => {})
    },
  }
}

async function respond(path: string, answer: RequestAnswer): Promise<void> {
  const request = await readForeignJson(path).catch(() => null)
  await rm(path, { force: true }).catch(() => {})
  const outcome: Outcome = await answer(request).then(
    (value) => ({ answer: value }),
    (error: unknown) => ({ refusal: refusalOf(error) }),
  )
  const reply = path.replace(/\.request\.json$/, '.answer.json')
  await writeWhole(reply, `${JSON.stringify(outcome)}\n`, 0o600).catch(() => {})
}

function refusalOf(error: unknown): { kind: string; message: string; hint: string } {
  const known = error instanceof FreetumorError ? error : null
  return {
    kind: known?.code ?? 'runtime',
    message: error instanceof Error ? error.message : String(error),
    hint: known?.commandHint ?? '',
  }
}

/** Return whether a process answers requests in the folder of a run, as far as its files show. */
export async function servesRequests(directory: string): Promise<boolean> {
  return (await stat(join(directory, REQUESTS_FOLDER, SERVING_FILE)).catch(() => null)) !== null
}

/**
 * Send a request to the process of a run on another node, and return its answer.
 * @param withinMs null: wait until the process ends
 * @throws the error of that process; RuntimeCrashError if none answers
 */
export async function sendRequest(
  directory: string,
  request: unknown,
  withinMs: number | null,
): Promise<unknown> {
  const folder = join(directory, REQUESTS_FOLDER)
  const id = randomBytes(8).toString('hex')
  const [path, reply] = [join(folder, `${id}.request.json`), join(folder, `${id}.answer.json`)]
  const until = withinMs === null ? Number.POSITIVE_INFINITY : performance.now() + withinMs
  try {
    await writeWhole(path, `${JSON.stringify(request)}\n`, 0o600)
    for (;;) {
      // before the answer is read: a process writes its last answers before it ends
      const isServed = await servesRequests(directory)
      const outcome = (await readForeignJson(reply).catch(() => null)) as Outcome | null
      if (outcome !== null) {
        if ('refusal' in outcome) throw reviveError(outcome.refusal)
        return outcome.answer
      }
      if (performance.now() >= until || !isServed)
        throw new RuntimeCrashError(`${directory}: its process does not answer`, {
          hint: 'run `freetumor runs list` to see whether the run still exists',
        })
      await wait(POLL_MS / 2)
    }
  } finally {
    await rm(path, { force: true }).catch(() => {})
    await rm(reply, { force: true }).catch(() => {})
  }
}

/** Return whether a folder exists, is ours and closed to others. @throws UsageError if others may write into it */
async function isPrivate(folder: string): Promise<boolean> {
  const found = await lstat(folder).catch(() => null)
  if (found === null) return false
  if (found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o077) === 0) return true
  throw new UsageError(`${folder}: not private (expected a folder of this user with mode 700)`, {
    hint: `chmod 700 ${folder}`,
  })
}

import { createHash, randomUUID } from 'node:crypto'
import { lstatSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { EnvironmentError } from '../errors.js'
import { asRecord, parseForeignJson } from '../foreign-text.js'
import { makeFolderSync } from '../whole-file.js'

/** Name of the file in a runtime's folder that records its finished set-up. */
export const STATE_FILE = 'freetumor-runtime.json'

/** Name of the file in a runtime's folder while its set-up runs, or after it was interrupted. */
export const UNFINISHED_FILE = 'freetumor-setup.unfinished'

type Environment = Readonly<Record<string, string | undefined>>

/** Content of STATE_FILE. It is written last, so its presence means that the set-up is finished. */
export interface RuntimeState {
  readonly version: 1
  /** Absolute path of the interpreter; outside the folder if an existing Python was adopted. */
  readonly python: string
  readonly made: 'created' | 'adopted'
  /** Random id, which the user's record names. Absent in folders of earlier versions. */
  readonly id?: string
}

/** Read the state of a runtime folder; undefined if there is none, or if it is not readable. */
export function readState(folder: string): RuntimeState | undefined {
  const state = readSmallJson(join(folder, STATE_FILE))
  return state?.version === 1 && typeof state.python === 'string' && state.made
    ? (state as unknown as RuntimeState)
    : undefined
}

/** Write the state with a new id under another name and rename it, so that the file is complete or absent. */
export function writeState(folder: string, state: RuntimeState): RuntimeState {
  const whole = { ...state, id: state.id ?? randomUUID() }
  permitted(folder, () => {
    makeFolderSync(folder)
    replaceFile(join(folder, STATE_FILE), whole, 0o644)
  })
  return whole
}

/**
 * Return the interpreter of a runtime folder that `freetumor setup` recorded for this user. Undefined for any other folder:
 * its own files are untrusted and may name any program.
 */
export function recordedPython(folder: string, env: Environment): string | undefined {
  try {
    const file = recordFile(folder, env)
    const { uid, mode } = lstatSync(file)
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0) return undefined
    const record = readSmallJson(file)
    // a folder that replaced the recorded one has another id
    const same = record?.folder === realpathSync(folder) && record.id === readState(folder)?.id
    return same && typeof record.id === 'string' && typeof record.python === 'string'
      ? record.python
      : undefined
  } catch {
    return undefined
  }
}

/**
 * Record for this user that the interpreter of a runtime folder may be run.
 * @throws EnvironmentError if the record cannot be written
 */
export function recordRuntime(folder: string, state: RuntimeState, env: Environment): void {
  const { id, python } = state.id === undefined ? writeState(folder, state) : state
  recording(env, () =>
    replaceFile(recordFile(folder, env), { folder: realpathSync(folder), id, python }, 0o600),
  )
}

/** Create the folder of the records. @throws EnvironmentError if that fails */
export function prepareRecords(env: Environment): void {
  recording(env, () => makeFolderSync(recordFolder(env), 0o700))
}

/** Return the JSON object of a small regular file; an empty one if it is damaged, undefined if it cannot be read. */
export function readSmallJson(file: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const found = lstatSync(file)
    if (!found.isFile() || found.size > 64 * 1024) return {}
    return asRecord(parseForeignJson(readFileSync(file, 'utf8'), file)) ?? {}
  } catch (error) {
    return (error as NodeJS.ErrnoException).syscall === undefined ? {} : undefined
  }
}

/** Write, and convert an error of the system into one that names the folder. @throws EnvironmentError */
export function permitted(folder: string, write: () => void): void {
  try {
    write()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const reason =
      code === 'EEXIST'
        ? 'another set-up has just begun there'
        : `cannot be written (${code ?? String(error)})`
    throw new EnvironmentError(`${folder}: ${reason}`, {
      hint: 'choose another folder with --venv, or correct its permissions',
      cause: error,
    })
  }
}

function recordFolder(env: Environment): string {
  const { XDG_STATE_HOME: state } = env
  const base = state && isAbsolute(state) ? state : join(env.HOME || homedir(), '.local/state')
  return join(base, 'freetumor/runtimes')
}

function recordFile(folder: string, env: Environment): string {
  const name = createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 32)
  return join(recordFolder(env), `${name}.json`)
}

function recording(env: Environment, write: () => void): void {
  try {
    write()
  } catch (error) {
    const where = env.XDG_STATE_HOME ?? env.HOME ?? 'the home folder'
    throw new EnvironmentError(
      `the record of the runtime cannot be written below ${where} (${(error as NodeJS.ErrnoException).code})`,
      {
        hint: 'set XDG_STATE_HOME to a folder of yours, or name a Python with FREETUMOR_PYTHON',
        cause: error,
      },
    )
  }
}

function replaceFile(target: string, content: unknown, mode: number): void {
  const aside = `${target}.${randomUUID()}.tmp`
  writeFileSync(aside, `${JSON.stringify(content, null, 2)}\n`, { mode })
  renameSync(aside, target)
}

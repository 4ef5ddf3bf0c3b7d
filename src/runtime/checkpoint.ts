import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { CheckpointFacts } from '../pipeline/ports/checkpoint.js'
import type { Vec3 } from '../volume/volume.js'
import { resolvePython } from './python.js'
import { answered, callPython, type PythonAnswer } from './pythonia.js'

export interface CheckpointCallOptions {
  /** The Python to use; default FREETUMOR_PYTHON, then ./.venv. */
  readonly python?: string | null | undefined
  readonly signal?: AbortSignal | undefined
}

export type CheckpointFormat = 'safetensors' | 'pt'
export type MergingOrder = 'legacy' | 'corrected' | 'v2'

export interface Converted {
  readonly path: string
  readonly sha256: string
  readonly tensors: number
}

/** Null in the first three: what the file says of itself. */
export interface ProbeSettings {
  readonly windowHu: readonly [number, number] | null
  readonly spacingMm: Vec3 | null
  readonly patchVoxels: Vec3 | null
  /** At most so many windows are segmented, those with most labels first. */
  readonly windows: number
  readonly device: 'auto' | 'cpu' | 'cuda'
}

export interface ProbeResult {
  readonly windows: number
  readonly orders: readonly {
    readonly order: MergingOrder
    /** Output id -> Dice over the windows. */
    readonly dice: Readonly<Record<string, number>>
    readonly mean: number
  }[]
  /** The order that is clearly ahead; null when none is. */
  readonly best: MergingOrder | null
}

// Python's own limits are tighter and say more; these are for a Python that hangs.
const READING_MS = 6 * 3600_000
const PROBING_MS = 13 * 3600_000

// A stage after another asks for the same file, and each look costs a Python with PyTorch.
const inspected = new Map<string, CheckpointFacts>()

/**
 * Reads a checkpoint in a Python child with bounded memory and time; nothing in the file is run. A file is read once a
 * process, as long as its size and times stay.
 * @throws CheckpointError for a file that is no checkpoint, damaged or hostile; EnvironmentError without a Python
 */
export async function inspectFile(
  path: string,
  options: CheckpointCallOptions = {},
): Promise<CheckpointFacts> {
  const file = resolve(path)
  const state = fileState(file)
  const known = state === null ? undefined : inspected.get(`${file} ${state}`)
  if (known !== undefined) return structuredClone(known)
  const facts = await lookTogether(file, options)
  // one that was written to meanwhile may have been read in part
  if (state !== null && state === fileState(file)) inspected.set(`${file} ${state}`, structuredClone(facts))
  return facts
}

interface Look {
  readonly options: CheckpointCallOptions
  readonly files: string[]
  readonly answers: Promise<readonly PythonAnswer<CheckpointFacts>[]>
}

/** Those that have not begun. */
const looks = new Set<Look>()

/** Files that are asked for at once, and with one signal, are looked into at once, each in a child of its own. */
async function lookTogether(file: string, options: CheckpointCallOptions): Promise<CheckpointFacts> {
  let look = [...looks].find(
    ({ options: { python, signal } }) => python === options.python && signal === options.signal,
  )
  if (look === undefined) {
    const files: string[] = []
    const answers = Promise.resolve().then(async () => {
      looks.delete(begun)
      return (await call('inspect_all', [files], READING_MS, options)) as PythonAnswer<CheckpointFacts>[]
    })
    const begun: Look = { options, files, answers }
    looks.add(begun)
    look = begun
  }
  const at = look.files.push(file) - 1
  return answered((await look.answers)[at]!)
}

/** Null for what is not there: the reader says so. */
function fileState(file: string): string | null {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch {
    return null
  }
}

/**
 * Writes a checkpoint in another format, with everything that is known of it. `merging` states the patch-merging order of
 * a file that does not say it.
 * @throws CheckpointError as inspectFile; UsageError for a name or an order that does not fit
 */
export async function convertFile(
  path: string,
  to: CheckpointFormat,
  out: string,
  merging: MergingOrder | null,
  options: CheckpointCallOptions = {},
): Promise<Converted> {
  return (await call('convert', [resolve(path), to, resolve(out), merging], READING_MS, options)) as Converted
}

/**
 * Runs a SwinUNETR in each patch-merging order on a case whose labels are known.
 * @throws UsageError when the file states its order or the settings are not known; DataError for the case's files
 */
export async function probeMerging(
  path: string,
  image: string,
  labels: string,
  settings: ProbeSettings,
  options: CheckpointCallOptions = {},
): Promise<ProbeResult> {
  const files = [path, image, labels].map((file) => resolve(file))
  return (await call('probe', [...files, settings], PROBING_MS, options)) as ProbeResult
}

function call(
  name: 'inspect_all' | 'convert' | 'probe',
  args: readonly unknown[],
  timeoutMs: number,
  options: CheckpointCallOptions,
): Promise<unknown> {
  const python = resolvePython({ explicit: options.python ?? undefined })
  return callPython(python, 'freetumor_runtime.checkpoints.sandbox', name, args, {
    timeoutMs,
    ...(options.signal ? { signal: options.signal } : {}),
  })
}

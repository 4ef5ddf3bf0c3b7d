import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { CheckpointFacts, MergingOrder } from '../pipeline/ports/checkpoint.js'
import type { ExportedFiles, ExportSpec } from '../pipeline/ports/export.js'
import type { Vec3 } from '../volume/volume.js'
import { makingParents, refuseUnwritable } from '../whole-file.js'
import { resolvePython } from './python.js'
import { answered, callPython, type PythonAnswer } from './pythonia.js'

export interface CheckpointCallOptions {
  /** The Python to use. Default: FREETUMOR_PYTHON, then ./.venv. */
  readonly python?: string | null | undefined
  readonly signal?: AbortSignal | undefined
  /** Name of one of several sets of weights in the file; null or undefined: the only one. */
  readonly weights?: string | null | undefined
}

export type CheckpointFormat = 'safetensors' | 'pt'

export interface Converted {
  readonly path: string
  readonly sha256: string
  readonly tensors: number
}

/** Settings of a probe. A null window, spacing or patch stands for the value that the file states. */
export interface ProbeSettings {
  readonly windowHu: readonly [number, number] | null
  readonly spacingMm: Vec3 | null
  readonly patchVoxels: Vec3 | null
  /** Largest number of windows that are segmented; those with most labels come first. */
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
  /** The order that is clearly better; null if none is. */
  readonly best: MergingOrder | null
}

// Python has tighter limits with better messages; these are for a Python that hangs.
const READING_MS = 6 * 3600_000
const PROBING_MS = 13 * 3600_000

// Several stages inspect the same file, and each inspection starts a Python with PyTorch.
const inspected = new Map<string, CheckpointFacts>()

/**
 * Inspect a checkpoint in a Python child with bounded memory and time; no code of the file is run. Each process reads a
 * file once, as long as its size and times are unchanged.
 * @throws CheckpointError for a file that is no checkpoint, damaged or hostile; EnvironmentError without a Python
 */
export async function inspectFile(
  path: string,
  options: CheckpointCallOptions = {},
): Promise<CheckpointFacts> {
  const file = resolve(path)
  const state = fileState(file)
  const key = JSON.stringify([file, state, options.weights ?? null])
  const known = state === null ? undefined : inspected.get(key)
  if (known !== undefined) return structuredClone(known)
  const facts = await lookTogether(file, options)
  // a file that changed meanwhile may have been read in part
  if (state !== null && state === fileState(file)) inspected.set(key, structuredClone(facts))
  return facts
}

interface Look {
  readonly options: CheckpointCallOptions
  /** Path and set of weights. */
  readonly files: [string, string | null][]
  readonly answers: Promise<readonly PythonAnswer<CheckpointFacts>[]>
}

/** Inspections that have not begun. */
const looks = new Set<Look>()

/** Inspect files that are requested at once with one signal in parallel, each in its own child. */
async function lookTogether(file: string, options: CheckpointCallOptions): Promise<CheckpointFacts> {
  let look = [...looks].find(
    ({ options: { python, signal } }) => python === options.python && signal === options.signal,
  )
  if (look === undefined) {
    const files: Look['files'] = []
    const answers = Promise.resolve().then(async () => {
      looks.delete(begun)
      return (await call('inspect_all', [files], READING_MS, options)) as PythonAnswer<CheckpointFacts>[]
    })
    const begun: Look = { options, files, answers }
    looks.add(begun)
    look = begun
  }
  const at = look.files.push([file, options.weights ?? null]) - 1
  return answered((await look.answers)[at]!)
}

/** Return the state of a file; null for a folder, and if it does not exist, which the reader reports. */
function fileState(file: string): string | null {
  try {
    const found = statSync(file, { bigint: true })
    if (found.isDirectory()) return null
    const { dev, ino, size, mtimeNs, ctimeNs } = found
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
  } catch {
    return null
  }
}

/**
 * Write a checkpoint in another format, with its metadata. `merging` is the patch-merging order of a file that does not
 * state it.
 * @throws CheckpointError as inspectFile; UsageError for a wrong name or order
 */
export async function convertFile(
  path: string,
  to: CheckpointFormat,
  out: string,
  merging: MergingOrder | null,
  options: CheckpointCallOptions = {},
): Promise<Converted> {
  const target = resolve(out)
  await refuseUnwritable(target)
  const args = [resolve(path), to, target, merging, options.weights ?? null]
  const convert = () => call('convert', args, READING_MS, options)
  return (await makingParents(target, convert)) as Converted
}

/**
 * Write weights in another format into an empty folder, in a Python child with bounded memory and time.
 * @throws CheckpointError as inspectFile, and for a network that the format cannot hold
 */
export async function exportFile(
  { checkpoint, to, out, about, merging, preparation }: ExportSpec,
  options: CheckpointCallOptions = {},
): Promise<ExportedFiles> {
  const args = [resolve(checkpoint), to, resolve(out), about, merging, options.weights ?? null, preparation]
  return (await call('export', args, READING_MS, options)) as ExportedFiles
}

/**
 * Run a SwinUNETR in each patch-merging order on a case with known labels.
 * @throws UsageError if the file states its order or settings are missing; DataError for the case's files
 */
export async function probeMerging(
  path: string,
  image: string,
  labels: string,
  settings: ProbeSettings,
  options: CheckpointCallOptions = {},
): Promise<ProbeResult> {
  const files = [path, image, labels].map((file) => resolve(file))
  const args = [...files, { ...settings, weights: options.weights ?? null }]
  return (await call('probe', args, PROBING_MS, options)) as ProbeResult
}

function call(
  name: 'inspect_all' | 'convert' | 'export' | 'probe',
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

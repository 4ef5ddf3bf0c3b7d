import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { EnvironmentError } from '../errors.js'
import { cannotBeRead } from '../system-errors.js'
import { type PythonFacts, runtimeFolder } from './python.js'

/** Python versions of the pinned packages: at least the first, below the second. */
export const PYTHON_RANGE = ['3.11', '3.13'] as const

/** The same range in words. */
export const PYTHON_WANTED = '3.11 or 3.12'

/**
 * Lowest versions in a Python environment of the user; an empty floor means any version. torch below 2.10 and protobuf below
 * 6.33.5 have known vulnerabilities; MONAI below 1.6 has another patch-merging order and is not tested.
 */
export const FLOORS: Readonly<Record<string, string>> = {
  torch: '2.10',
  monai: '1.6',
  protobuf: '6.33.5',
  grpcio: '1.80',
  zarr: '3',
  numpy: '',
  scipy: '',
  nibabel: '',
  pyzmq: '',
  einops: '',
  'dynamic-network-architectures': '0.4',
  safetensors: '',
  tensorboard: '',
}

/**
 * Optional parts of the runtime, for `freetumor setup --extra NAME`, with the lowest versions of their packages. Each has a
 * file `requirements-NAME.txt` of pins.
 */
export const EXTRAS = {
  export: { onnx: '1.18', onnxruntime: '1.20' },
  dicom: { dcm2niix: '1.0.20250505', pydicom: '3.0.1', highdicom: '0.27' },
  wandb: { wandb: '0.31' },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>

export type RuntimeExtra = keyof typeof EXTRAS

/** A set of pinned packages: the files for pip, and their pins. */
export interface Requirements {
  /** Files with the hashes of every package. */
  readonly hashed: readonly string[]
  /** File of PyTorch, without a hash: pip's index decides the build. */
  readonly torch: string
  /** Name (lower case, dashes) to exact version. */
  readonly pins: Readonly<Record<string, string>>
}

export interface RequirementsOptions {
  /** Add the pins of this repository's tests. */
  readonly dev?: boolean
  readonly extras?: readonly RuntimeExtra[]
  /** Folder of the requirements files. Default: the package's own. */
  readonly folder?: string | undefined
}

/** Read the pins of the runtime, and those of its optional parts that are named. */
export function readRequirements(options: RequirementsOptions = {}): Requirements {
  const { dev = false, extras = [], folder = runtimeFolder } = options
  const names = [...(dev ? ['dev'] : []), ...extras].map((part) => `requirements-${part}.txt`)
  const hashed = ['requirements.txt', ...names].map((name) => join(folder, name))
  const torch = join(folder, 'requirements-torch.txt')
  const lines = [...hashed, torch].flatMap((file) => readPins(file).split('\n'))
  const pins = lines.flatMap((line) => {
    const [, name, version] = /^([\w.-]+)==([\w.!+-]+)/.exec(line) ?? []
    return name && version ? [[canonicalName(name), version]] : []
  })
  return { hashed, torch, pins: Object.fromEntries(pins) }
}

function readPins(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new EnvironmentError(cannotBeRead(file, (error as NodeJS.ErrnoException).code), {
      hint: file.endsWith('-dev.txt')
        ? 'use --dev only in a checkout of the repository'
        : 'install freetumor again',
      cause: error,
    })
  }
}

/** Return whether an interpreter's version is supported. */
export function isSupportedPython(version: string): boolean {
  return compareVersions(version, PYTHON_RANGE[0]) >= 0 && compareVersions(version, PYTHON_RANGE[1]) < 0
}

/** Return the packages that an interpreter lacks, one phrase each: `torch 1.13.1 (2.10 or newer is needed)`. */
export function belowFloors(facts: PythonFacts, floors: Readonly<Record<string, string>> = FLOORS): string[] {
  return Object.entries(floors).flatMap(([name, floor]) => {
    const found = facts.packages[name]
    if (found === undefined) return [`${name} is missing`]
    return compareVersions(found, floor || '0') < 0 ? [`${name} ${found} (${floor} or newer is needed)`] : []
  })
}

/** Return the packages that differ from the pins, one phrase each: `monai 1.6.0 (pinned 1.6.1)`. */
export function offPins(facts: PythonFacts, pins: Readonly<Record<string, string>>): string[] {
  return Object.entries(pins).flatMap(([name, pinned]) => {
    const found = facts.packages[name]
    if (found === undefined) return [`${name} is missing (pinned ${pinned})`]
    // a local build, `2.13.0+cpu`, is the pinned version
    return found.split('+')[0] === pinned ? [] : [`${name} ${found} (pinned ${pinned})`]
  })
}

/** Compare two versions: negative if `a` is older than `b`. Only the leading numbers count: `2.13.0+cpu` equals `2.13`. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [releaseNumbers(a), releaseNumbers(b)]
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function releaseNumbers(version: string): number[] {
  return (/^\d+(\.\d+)*/.exec(version)?.[0] ?? '0').split('.').map(Number)
}

function canonicalName(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/[-_.]+/g, '-')
}

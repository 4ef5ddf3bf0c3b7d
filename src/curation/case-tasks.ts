import { DataError } from '../errors.js'
import type { VoxelMemory } from '../volume/nifti.js'
import type { Fingerprint } from './audit/fingerprint.js'
import { keptFingerprint, type MadeFingerprint } from './audit/fingerprint-cache.js'
import { type CaseCheckOptions, checkCase } from './check/case.js'
import type { Finding } from './check/finding.js'
import { type LabelIds, readLabelIds } from './check/label-ids.js'
import type { ManifestCase } from './datasets/manifest.js'
import { type MeasuredFiles, measureCase } from './measure-case.js'

/** Work that threads do on a case. They write no file: an ended thread would leave it partially written. */
export interface Tasks {
  readonly check: { readonly options: CaseCheckOptions; readonly answer: readonly Finding[] }
  readonly measure: { readonly options: null; readonly answer: MeasuredFiles }
  readonly labelIds: { readonly options: null; readonly answer: LabelIds }
  readonly fingerprint: {
    readonly options: { readonly directory: string }
    readonly answer: MadeFingerprint | { readonly problem: string }
  }
}

/** `problem`: a sentence that names the file. */
export type FingerprintAnswer = { readonly fingerprint: Fingerprint } | { readonly problem: string }

export interface CaseTask<K extends keyof Tasks> {
  readonly name: K
  readonly options: Tasks[K]['options']
}

/** Answer of a thread to a case; a `fault` is a bug, not a fault of the data. */
export type CaseAnswer<K extends keyof Tasks> =
  | { readonly answer: Tasks[K]['answer'] }
  | { readonly fault: string }
  /** The machine refused: a full disk, too many open files. */
  | { readonly refusal: { readonly message: string; readonly hint: string } }

export function workOn<K extends keyof Tasks>(
  item: ManifestCase,
  task: CaseTask<K>,
  memory: VoxelMemory,
): Promise<Tasks[K]['answer']> {
  if (task.name === 'check') return checkCase(item, task.options as CaseCheckOptions, memory)
  if (task.name === 'measure') return measureCase(item, memory)
  if (task.name === 'labelIds') return readLabelIds(item, memory)
  const { directory } = task.options as Tasks['fingerprint']['options']
  return keptFingerprint(item.image, directory, memory).catch((error: unknown) => {
    if (error instanceof DataError) return { problem: error.message }
    throw error
  })
}

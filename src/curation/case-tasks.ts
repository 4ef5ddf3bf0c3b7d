import type { VoxelMemory } from '../volume/nifti.js'
import { type CaseCheckOptions, checkCase } from './check-case.js'
import type { Finding } from './finding.js'
import type { ManifestCase } from './manifest.js'
import { type MeasuredFiles, measureCase } from './measure-case.js'

/** What threads can do with a case. */
export interface Tasks {
  readonly check: { readonly options: CaseCheckOptions; readonly answer: readonly Finding[] }
  readonly measure: { readonly options: null; readonly answer: MeasuredFiles }
}

export interface CaseTask<K extends keyof Tasks> {
  readonly name: K
  readonly options: Tasks[K]['options']
}

/** What a thread answers to a case; a fault is one of ours, not of the data. */
export type CaseAnswer<K extends keyof Tasks> =
  | { readonly answer: Tasks[K]['answer'] }
  | { readonly fault: string }

export function workOn<K extends keyof Tasks>(
  item: ManifestCase,
  task: CaseTask<K>,
  memory: VoxelMemory,
): Promise<Tasks[K]['answer']> {
  return task.name === 'check'
    ? checkCase(item, task.options as CaseCheckOptions, memory)
    : measureCase(item, memory)
}

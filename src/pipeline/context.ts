import type { ModelRuntime } from './ports/runtime.js'

/** Runtime, signal and log folder that every stage receives. */
export interface StageContext {
  readonly runtime: ModelRuntime
  readonly signal: AbortSignal | undefined
  readonly logDirectory: string
  readonly note: (text: string, level?: 'info' | 'warning') => void
}

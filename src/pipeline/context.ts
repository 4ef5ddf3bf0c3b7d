import type { ModelRuntime } from './ports/runtime.js'

/** What every stage of a run is given. */
export interface StageContext {
  readonly runtime: ModelRuntime
  readonly signal: AbortSignal | undefined
  readonly logDirectory: string
  readonly note: (text: string, level?: 'info' | 'warning') => void
}

import type { FreetumorError } from '../../errors.js'
import type { CaseError } from '../ports/common.js'
import type { ScanCase } from '../predict/cases.js'
import type { ToolIds } from './settings.js'

/** A label map as a tool wrote it, with the ids of the tool. */
export interface RawLabel {
  readonly caseId: string
  /** Path of the label map; the caller removes its folder. */
  readonly file: string
  readonly folder: string
  readonly seconds: { readonly copy: number; readonly tool: number }
  /** Report of the tool, if it writes one. */
  readonly report: unknown
}

export type RawOutcome = RawLabel | { readonly caseId: string; readonly error: CaseError }

/** A tool that is found and ready to label scans. */
export interface OrganLabeller {
  /** Name in messages and in `organs.json`. */
  readonly name: string
  /** Version of a tool, SHA-256 of weights; null if unknown. */
  readonly version: string | null
  readonly ids: ToolIds
  /** Settings that decide the labels. */
  readonly settings: Readonly<Record<string, unknown>>
  /**
   * Label scans, in any order.
   * @param work folder for temporary files
   * @param logs folder for the output of failed calls
   * @throws EnvironmentError if the tool lacks something that every case needs
   */
  label(scans: readonly ScanCase[], work: string, logs: string): AsyncIterable<RawOutcome>
}

/** Return an error as the result of a case has it. */
export function caseErrorOf(error: FreetumorError): CaseError {
  return { kind: error.code, message: error.message, hint: error.commandHint ?? '' }
}

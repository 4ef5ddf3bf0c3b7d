import type { OrganName } from '../volume/labels.js'
import type { Verdict } from './judge.js'

/** One line of `ledger.jsonl`: an attempt to make a tumor while training, and what became of it. */
export interface LedgerLine {
  readonly step: number
  readonly item: number
  readonly crop: number
  readonly case: string
  readonly organ?: OrganName
  readonly size?: string
  readonly draw?: number
  /** `recorded`: measured but not judged, as in synthesis training. */
  readonly verdict: 'accepted' | 'rejected' | 'recorded' | 'noRoom'
  readonly reason: string
  readonly measures?: Verdict['measures']
}

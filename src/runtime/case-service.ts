import { CaseDone, CaseOrder, CaseProgress } from '../generated/freetumor/runtime/v1/feed.js'
import type { Message } from '../transport/frames.js'
import { unsupportedMessage } from './job-errors.js'

const PACKAGE = 'freetumor.runtime.v1.'

/** Cases for the ranks of a job, to whichever asks first. */
export interface CaseFeed {
  /** Return the id of the next case; null if none is left. */
  next(): string | null
  /** Receive the number of sliding windows of a case that are done, of all. */
  progress(caseId: string, done: number, total: number): void
  done(caseId: string, json: string): void
}

/**
 * Return the answer to a message of a rank that works case by case; undefined if it needs none.
 * @throws RuntimeCrashError on an unsupported message
 */
export function answerCaseRank(feed: CaseFeed, rank: number, message: Message): Message | undefined {
  switch (message.kind) {
    case `${PACKAGE}CaseRequest`: {
      const caseId = feed.next()
      const order = CaseOrder.fromPartial(caseId === null ? { finished: true } : { caseId })
      return { kind: `${PACKAGE}CaseOrder`, body: CaseOrder.encode(order).finish(), tensors: new Map() }
    }
    case `${PACKAGE}CaseProgress`: {
      const { caseId, done, total } = CaseProgress.decode(message.body)
      feed.progress(caseId, done, total)
      return undefined
    }
    case `${PACKAGE}CaseDone`: {
      const { caseId, json } = CaseDone.decode(message.body)
      feed.done(caseId, json)
      return undefined
    }
    default:
      throw unsupportedMessage(rank, message.kind)
  }
}

import { RuntimeCrashError } from '../errors.js'
import { CaseDone, CaseOrder } from '../generated/freetumor/runtime/v1/feed.js'
import type { Message } from '../transport/frames.js'

const PACKAGE = 'freetumor.runtime.v1.'

/** Cases for the ranks of a job, to whichever asks first. */
export interface CaseFeed {
  /** Id of the next case; null when none is left. */
  next(): string | null
  done(caseId: string, json: string): void
}

/**
 * Answers one message of a rank that works case by case; undefined where there is nothing to answer.
 * @throws RuntimeCrashError on a message that does not belong here
 */
export function answerCaseRank(feed: CaseFeed, rank: number, message: Message): Message | undefined {
  switch (message.kind) {
    case `${PACKAGE}CaseRequest`: {
      const caseId = feed.next()
      const order = CaseOrder.fromPartial(caseId === null ? { finished: true } : { caseId })
      return { kind: `${PACKAGE}CaseOrder`, body: CaseOrder.encode(order).finish(), tensors: new Map() }
    }
    case `${PACKAGE}CaseDone`: {
      const { caseId, json } = CaseDone.decode(message.body)
      feed.done(caseId, json)
      return undefined
    }
    default:
      throw new RuntimeCrashError(`rank ${rank} sent ${message.kind}, which a job by case does not know`)
  }
}

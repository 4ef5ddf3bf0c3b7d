import { expect, test } from 'vitest'
import {
  CaseDone,
  CaseOrder,
  CaseProgress,
  CaseRequest,
} from '../../src/generated/freetumor/runtime/v1/feed.js'
import { answerCaseRank } from '../../src/runtime/case-service.js'
import type { Message } from '../../src/transport/frames.js'

const message = (name: string, body: Uint8Array = new Uint8Array()): Message => ({
  kind: `freetumor.runtime.v1.${name}`,
  body,
  tensors: new Map(),
})

test('cases go to whichever rank asks, each once, and what was made of them comes back', () => {
  const waiting = ['a', 'b']
  const done: [string, string][] = []
  const progress: [string, number, number][] = []
  const feed = {
    next: () => waiting.shift() ?? null,
    progress: (...one: [caseId: string, done: number, total: number]) => void progress.push(one),
    done: (caseId: string, json: string) => void done.push([caseId, json]),
  }
  const request = message('CaseRequest', CaseRequest.encode({}).finish())
  const orders = [1, 0, 1].map((rank) => {
    const answer = answerCaseRank(feed, rank, request)!
    expect(answer.kind).toBe('freetumor.runtime.v1.CaseOrder')
    return CaseOrder.decode(answer.body)
  })
  expect(orders).toEqual([
    { finished: false, caseId: 'a' },
    { finished: false, caseId: 'b' },
    { finished: true, caseId: '' },
  ])
  const half = CaseProgress.encode({ caseId: 'b', done: 4, total: 8 }).finish()
  expect(answerCaseRank(feed, 0, message('CaseProgress', half))).toBeUndefined()
  expect(progress).toEqual([['b', 4, 8]])
  const report = CaseDone.encode({ caseId: 'b', json: '{"files":{}}' }).finish()
  expect(answerCaseRank(feed, 0, message('CaseDone', report))).toBeUndefined()
  expect(done).toEqual([['b', '{"files":{}}']])
})

test('anything else ends the job', () => {
  const feed = { next: () => null, progress: () => {}, done: () => {} }
  expect(() => answerCaseRank(feed, 3, message('StepRequest'))).toThrow(
    /rank 3: sent an unsupported message \(freetumor\.runtime\.v1\.StepRequest\)/,
  )
})

import { onAbort } from '../abort.js'
import { EnvironmentError, RuntimeCrashError } from '../errors.js'
import { startThread } from '../threads.js'
import { voxelMemory } from '../volume/nifti.js'
import { type CaseAnswer, type CaseTask, type Tasks, workOn } from './case-tasks.js'
import type { ManifestCase } from './datasets/manifest.js'

const THREAD_HINT = 'use fewer --workers if the memory is short; otherwise report this bug'

export interface ThreadOptions {
  /**
   * Number of cases in work at a time, each in a thread with one volume in memory; 1 works in the thread of
   * the caller.
   */
  readonly workers: number
  readonly signal?: AbortSignal | undefined
  readonly onCase?: ((done: number, total: number, id: string) => void) | undefined
}

/**
 * Read every case completely and return answers in the order of the cases.
 * @param keep writes an answer to disk in the thread of the caller, and returns the part of it that stays in memory; it ends
 * before this function does, even after a failure. Default: all of it
 * @throws the signal's reason when it aborts; RuntimeCrashError for a crashed thread; any error of `keep`
 */
export async function forEachCase<K extends keyof Tasks, Kept = Tasks[K]['answer']>(
  cases: readonly ManifestCase[],
  task: CaseTask<K>,
  { workers, signal, onCase }: ThreadOptions,
  keep: (item: ManifestCase, answer: Tasks[K]['answer']) => Promise<Kept> = async (_, answer) =>
    answer as Kept,
): Promise<Kept[]> {
  const answers: Kept[] = new Array(cases.length)
  const count = Math.min(workers, cases.length)
  const hands = count > 1 ? Array.from({ length: count }, () => openThread(task, signal)) : [thisThread(task)]
  let [next, done] = [0, 0]
  const work = async (hand: Hand<K>) => {
    for (let at = next++; at < cases.length; at = next++) {
      signal?.throwIfAborted()
      const item = cases[at]!
      answers[at] = await keep(item, await hand.work(item))
      onCase?.(++done, cases.length, item.id)
    }
  }
  const all = hands.map(work)
  try {
    await Promise.all(all)
  } finally {
    // after a failure no further case is started
    next = cases.length
    await Promise.all(hands.map((hand) => hand.close()))
    await Promise.allSettled(all)
  }
  return answers
}

/** A worker for one case at a time. */
interface Hand<K extends keyof Tasks> {
  work(item: ManifestCase): Promise<Tasks[K]['answer']>
  close(): Promise<void>
}

function thisThread<K extends keyof Tasks>(task: CaseTask<K>): Hand<K> {
  const memory = voxelMemory()
  return { work: (item) => workOn(item, task, memory), close: async () => {} }
}

function openThread<K extends keyof Tasks>(task: CaseTask<K>, signal: AbortSignal | undefined): Hand<K> {
  const thread = startThread('curation/case-worker.js', task)
  const { worker } = thread
  let state: 'idle' | 'busy' = 'idle'
  let fail: (error: unknown) => void = () => {}
  let answered: (answer: Tasks[K]['answer']) => void = () => {}
  worker.on('message', (message: CaseAnswer<K>) => {
    state = 'idle'
    if ('answer' in message) answered(message.answer)
    else if ('fault' in message) fail(new RuntimeCrashError(message.fault, { hint: THREAD_HINT }))
    else fail(new EnvironmentError(message.refusal.message, { hint: message.refusal.hint }))
  })
  worker.on('error', (cause) =>
    fail(new RuntimeCrashError(`a thread crashed: ${cause.message}`, { hint: THREAD_HINT, cause })),
  )
  worker.on('exit', (code) =>
    fail(new RuntimeCrashError(`a thread exited with code ${code}`, { hint: THREAD_HINT })),
  )
  const release = onAbort(signal, () => fail(signal?.reason))
  return {
    work: (item) =>
      new Promise((resolve, reject) => {
        answered = resolve
        fail = reject
        state = 'busy'
        worker.postMessage(item)
      }),
    async close() {
      release()
      await thread.end(state)
    },
  }
}

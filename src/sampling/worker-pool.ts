import { ConfigError, DataError, type FreetumorError, RuntimeCrashError } from '../errors.js'
import { startThread, type Thread } from '../threads.js'
import type { ItemPlanner } from './planner.js'
import type { PlannedCrop, SamplingPlan } from './sampling-plan.js'
import type { WorkerAnswer, WorkerFailure } from './worker.js'

const LIMIT_HINT = 'set fewer sampling.workers if the memory is short'

interface Request {
  readonly item: number
  resolve(crops: PlannedCrop[]): void
  reject(error: Error): void
}

/**
 * Plan items in worker threads, one item per thread at a time. A failing item rejects only its own request. A
 * crashed thread fails all requests from then on.
 */
export function openWorkerPool(plan: SamplingPlan, count: number): ItemPlanner {
  const waiting: Request[] = []
  const busy = new Map<Thread, Request>()
  const idle: Thread[] = []
  let ended: Error | null = null

  const dispatch = () => {
    while (idle.length > 0 && waiting.length > 0) {
      const thread = idle.pop()!
      const request = waiting.shift()!
      busy.set(thread, request)
      thread.worker.postMessage(request.item)
    }
  }
  const end = (error: Error) => {
    ended ??= error
    for (const request of [...busy.values(), ...waiting.splice(0)]) request.reject(ended)
  }
  const start = (): Thread => {
    const thread = startThread('sampling/worker.js', plan)
    const { worker } = thread
    worker.on('message', (answer: WorkerAnswer) => {
      const request = busy.get(thread)
      busy.delete(thread)
      idle.push(thread)
      if ('failure' in answer) request?.reject(revive(answer.failure))
      else request?.resolve(answer.crops)
      dispatch()
    })
    worker.on('error', (cause) =>
      end(new RuntimeCrashError(`a sampling thread crashed: ${cause.message}`, { hint: LIMIT_HINT, cause })),
    )
    worker.on('exit', (code) =>
      end(new RuntimeCrashError(`a sampling thread exited with code ${code}`, { hint: LIMIT_HINT })),
    )
    return thread
  }
  const threads = Array.from({ length: count }, start)
  idle.push(...threads)

  return {
    plan: (item) =>
      new Promise((resolve, reject) => {
        if (ended) return reject(ended)
        waiting.push({ item, resolve, reject })
        dispatch()
      }),
    async close() {
      end(new RuntimeCrashError('the feeder is closed', { hint: 'open another feeder' }))
      await Promise.all(threads.map((thread) => thread.end(busy.has(thread) ? 'busy' : 'idle')))
    },
  }
}

function revive({ code, message, hint, facts }: WorkerFailure): FreetumorError {
  const details = { facts, ...(hint === undefined ? {} : { hint }) }
  if (code === 'data') return new DataError(message, details)
  return code === 'config' ? new ConfigError(message, details) : new RuntimeCrashError(message, details)
}

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import {
  ConfigError,
  DataError,
  EnvironmentError,
  type FreetumorError,
  RuntimeCrashError,
} from '../errors.js'
import { cannotBeRead } from '../system-errors.js'
import type { ItemPlanner } from './planner.js'
import type { PlannedCrop, SamplingPlan } from './sampling-plan.js'
import type { WorkerAnswer, WorkerFailure } from './worker.js'

// threads run the compiled module, also from src (tests)
const WORKER_MODULE = new URL('../../dist/sampling/worker.js', import.meta.url)

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
  if (!existsSync(WORKER_MODULE)) {
    throw new EnvironmentError(cannotBeRead(fileURLToPath(WORKER_MODULE), 'ENOENT'), {
      hint: 'run `npm run build`',
    })
  }
  const waiting: Request[] = []
  const busy = new Map<Worker, Request>()
  const idle: Worker[] = []
  let ended: Error | null = null

  const dispatch = () => {
    while (idle.length > 0 && waiting.length > 0) {
      const worker = idle.pop()!
      const request = waiting.shift()!
      busy.set(worker, request)
      worker.postMessage(request.item)
    }
  }
  const end = (error: Error) => {
    ended ??= error
    for (const request of [...busy.values(), ...waiting.splice(0)]) request.reject(ended)
    busy.clear()
  }
  const start = (): Worker => {
    const worker = new Worker(WORKER_MODULE, { workerData: plan })
    worker.on('message', (answer: WorkerAnswer) => {
      const request = busy.get(worker)
      busy.delete(worker)
      idle.push(worker)
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
    return worker
  }
  const workers = Array.from({ length: count }, start)
  idle.push(...workers)

  return {
    plan: (item) =>
      new Promise((resolve, reject) => {
        if (ended) return reject(ended)
        waiting.push({ item, resolve, reject })
        dispatch()
      }),
    async close() {
      end(new RuntimeCrashError('the feeder is closed', { hint: 'open another feeder' }))
      await Promise.all(workers.map((worker) => worker.terminate()))
    },
  }
}

function revive({ code, message, hint, facts }: WorkerFailure): FreetumorError {
  const details = { facts, ...(hint === undefined ? {} : { hint }) }
  if (code === 'data') return new DataError(message, details)
  return code === 'config' ? new ConfigError(message, details) : new RuntimeCrashError(message, details)
}

import { parentPort, workerData } from 'node:worker_threads'
import { FreetumorError } from '../errors.js'
import { answerMessages } from '../threads.js'
import { openPlanner } from './planner.js'
import type { PlannedCrop, SamplingPlan } from './sampling-plan.js'

/** Answer of a worker to an item number. */
export type WorkerAnswer =
  | { readonly item: number; readonly crops: PlannedCrop[] }
  | { readonly item: number; readonly failure: WorkerFailure }

export interface WorkerFailure {
  readonly code: string
  readonly message: string
  readonly hint: string | undefined
  readonly facts: Readonly<Record<string, unknown>>
}

const port = parentPort
if (port) {
  const planner = openPlanner(workerData as SamplingPlan)
  answerMessages(port, async (item: number) => {
    try {
      const crops = await planner.plan(item)
      const answer: WorkerAnswer = { item, crops }
      port.postMessage(answer, buffersOf(crops))
    } catch (error) {
      const answer: WorkerAnswer = { item, failure: describe(error, item) }
      port.postMessage(answer)
    }
  })
}

/** Collect the buffers that are moved to the main thread without a copy. */
function buffersOf(crops: readonly PlannedCrop[]): ArrayBuffer[] {
  const arrays = crops.flatMap((crop) => [crop.image, crop.label, ...crop.tumors.map((tumor) => tumor.box)])
  return [...new Set(arrays.map((array) => array.buffer as ArrayBuffer))]
}

function describe(error: unknown, item: number): WorkerFailure {
  if (error instanceof FreetumorError) {
    const { code, message, commandHint: hint, facts } = error
    return { code, message, hint, facts }
  }
  const message = `item ${item}: planning failed: ${error instanceof Error ? error.stack : String(error)}`
  return { code: 'runtime', message, hint: 'report this fault with its stack', facts: {} }
}

import { parentPort, workerData } from 'node:worker_threads'
import { EnvironmentError } from '../errors.js'
import { typedSystemError } from '../system-errors.js'
import { answerMessages } from '../threads.js'
import { voxelMemory } from '../volume/nifti.js'
import { type CaseAnswer, type CaseTask, type Tasks, workOn } from './case-tasks.js'
import type { ManifestCase } from './datasets/manifest.js'

const port = parentPort
if (port) {
  const memory = voxelMemory()
  const task = workerData as CaseTask<keyof Tasks>
  answerMessages(port, async (item: ManifestCase) => port.postMessage(await answerTo(item)))

  const answerTo = async (item: ManifestCase): Promise<CaseAnswer<keyof Tasks>> => {
    try {
      return { answer: await workOn(item, task, memory) }
    } catch (caught) {
      const error = typedSystemError(caught)
      if (error instanceof EnvironmentError)
        return { refusal: { message: error.message, hint: error.commandHint ?? '' } }
      return { fault: `case ${item.id}: ${error instanceof Error ? error.stack : String(error)}` }
    }
  }
}

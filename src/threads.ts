import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type MessagePort, Worker } from 'node:worker_threads'
import { EnvironmentError } from './errors.js'
import { cannotBeRead } from './system-errors.js'

const END = 'end of the thread'

/** A worker thread that answers messages. */
export interface Thread {
  readonly worker: Worker
  /**
   * End an idle thread at its next message; terminate a busy one at once.
   *
   * An idle thread is not terminated: its code may still be optimized in the background, and Node 20 then
   * aborts the whole process (`ForIsolate ... (data.first) != nullptr`). A thread that ends by itself waits
   * for these tasks.
   */
  end(state: 'idle' | 'busy'): Promise<void>
}

/**
 * Start a thread with a compiled module.
 * @param module path below `dist`; threads run the compiled module, also from src (tests)
 * @throws EnvironmentError if the module is not built
 */
export function startThread(module: string, workerData: unknown): Thread {
  const url = new URL(`../dist/${module}`, import.meta.url)
  if (!existsSync(url))
    throw new EnvironmentError(cannotBeRead(fileURLToPath(url), 'ENOENT'), { hint: 'run `npm run build`' })
  const worker = new Worker(url, { workerData })
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  return {
    worker,
    async end(state) {
      if (state === 'idle') worker.postMessage(END)
      else await worker.terminate()
      await exited
    },
  }
}

/** Answer the messages of the thread's owner, inside the thread, until the owner ends the thread. */
export function answerMessages<T>(port: MessagePort, answer: (message: T) => void): void {
  port.on('message', (message: T | typeof END) => (message === END ? port.close() : answer(message as T)))
}

import { rm } from 'node:fs/promises'
import type { StageContext } from '../pipeline/context.js'
import type { ModelRuntime } from '../pipeline/ports/runtime.js'
import { makeTemporaryFolder } from '../whole-file.js'
import type { CliIo } from './output.js'

/** Run a stage outside a run: its logs are in a temporary folder, its notes go to stderr. */
export async function withLogFolder<T>(
  io: CliIo,
  runtime: ModelRuntime,
  work: (context: StageContext) => Promise<T>,
): Promise<T> {
  const logDirectory = await makeTemporaryFolder('freetumor-')
  try {
    return await work({
      runtime,
      signal: io.signal,
      logDirectory,
      note: (text, level = 'info') => io.note(level === 'warning' ? `warning: ${text}` : text),
    })
  } finally {
    await rm(logDirectory, { recursive: true, force: true })
  }
}

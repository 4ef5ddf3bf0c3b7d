import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StageContext } from '../pipeline/context.js'
import type { ModelRuntime } from '../pipeline/ports.js'
import type { CliIo } from './output.js'

/** Runs a stage outside a run: its logs lie in a folder that is removed afterwards, its notes go to stderr. */
export async function withLogFolder<T>(
  io: CliIo,
  runtime: ModelRuntime,
  work: (context: StageContext) => Promise<T>,
): Promise<T> {
  const logDirectory = await mkdtemp(join(tmpdir(), 'freetumor-'))
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

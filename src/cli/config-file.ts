import { loadConfig } from '../config/load.js'
import type { RunConfig } from '../config/schema.js'
import type { CliIo } from './output.js'

/** Load the configuration that a command names: a file, or a shipped one by its name. Notes go to stderr. */
export function readConfig(io: CliIo, name: string, set: readonly string[] = []): Promise<RunConfig> {
  return loadConfig(name, { set, onNote: (text) => io.note(`note: ${text}`) })
}

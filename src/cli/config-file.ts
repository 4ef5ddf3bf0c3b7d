import { existsSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import { loadConfig } from '../config/load.js'
import type { RunConfig } from '../config/schema.js'
import { shippedFile } from '../config/shipped.js'
import type { CliIo } from './output.js'

/** Load the configuration that a command names: a file, or a shipped one by its name. Notes go to stderr. */
export function readConfig(io: CliIo, name: string, set: readonly string[] = []): Promise<RunConfig> {
  return loadConfig(name, { set, onNote: (text) => io.note(`note: ${text}`) })
}

const ENDINGS = ['.yaml', '.yml', '.js', '.mjs']

/**
 * Return the name for `readConfig` if an argument names a configuration; null for other files and folders. A file or folder
 * takes precedence over a shipped configuration of its name.
 */
export function configNamed(io: CliIo, argument: string): string | null {
  const path = resolve(io.cwd, argument)
  if (ENDINGS.includes(extname(path))) return path
  return !existsSync(path) && shippedFile(argument) !== undefined ? argument : null
}

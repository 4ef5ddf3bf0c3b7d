import { anchoredCommand } from '../config/paths.js'
import type { PluginSpec } from '../pipeline/ports/plugin.js'

export interface PluginLimits {
  readonly startTimeout?: number | undefined
  readonly requestTimeout?: number | undefined
}

/** Return the plug-in of a command line; relative paths start at the folder. Limits are in seconds. */
export function pluginOfWords(
  words: readonly string[],
  python: string | undefined,
  folder: string,
  { startTimeout = 60, requestTimeout = 120 }: PluginLimits = {},
): PluginSpec {
  const command = anchoredCommand(words, folder)
  return {
    command: python === undefined ? command : [...anchoredCommand([python], folder), ...command],
    startTimeoutSeconds: startTimeout,
    requestTimeoutSeconds: requestTimeout,
  }
}

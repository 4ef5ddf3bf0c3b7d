import { statSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { stringify } from 'yaml'
import { ConfigError, FreetumorError } from '../errors.js'
import { readForeignText } from '../foreign-text.js'
import { cannotBeRead } from '../system-errors.js'
import { readHardNegatives, readMeasuredRanges, readNumbers, readPositions } from './lists.js'
import { absolutePaths, anchoredToFile, anchoredToHere } from './paths.js'
import { resolveConfig } from './resolve.js'
import type { RunConfig } from './schema.js'
import { shippedFile, shippedNames } from './shipped.js'
import { MAX_YAML_BYTES, parseYaml } from './yaml.js'

export interface LoadOptions {
  /** `key=value` pairs that replace values of the file, for instance `training.steps=10`; values are YAML. */
  readonly set?: readonly string[]
  /** Called with notes on old spellings; default: a warning of the process. */
  readonly onNote?: (text: string) => void
}

/**
 * Load a run configuration: a `.yaml`/`.yml`/`.json` file, a module (`.js`, `.mjs`) whose default export is one, or the name
 * of a shipped one (`debug-baseline`). Relative paths start at the folder of the file; those of `set` and of shipped
 * configurations start at the working directory.
 * @throws ConfigError that names the file and the key
 */
export async function loadConfig(path: string, options: LoadOptions = {}): Promise<RunConfig> {
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
  const file = isFile ? path : (shippedFile(path) ?? path)
  const onNote = options.onNote ?? ((text) => process.emitWarning(text, 'DeprecationWarning'))
  const note = (text: string) => onNote(`${path}: ${text}`)
  const input = ['.js', '.mjs', '.ts', '.mts'].includes(extname(file))
    ? await importModule(file)
    : parseYaml(await readConfigText(file), path)
  const set = withOverrides(anchoredToFile(input, file, note), options.set ?? [])
  return resolveConfig(await withLists(anchoredToHere(set, file, note)), path)
}

/** Return the YAML of a resolved configuration. */
export function printConfig(config: RunConfig): string {
  return stringify(config, { lineWidth: 110, flowCollectionPadding: true })
}

/** Return the YAML that a run keeps of its configuration: `printConfig` with absolute paths. */
export function recordConfig(config: RunConfig): string {
  return printConfig(absolutePaths(config))
}

async function readConfigText(path: string): Promise<string> {
  const unreadable = (code: string, cause: unknown): ConfigError =>
    new ConfigError(cannotBeRead(path, code, 'configuration'), {
      hint: `name a file that \`freetumor init\` wrote, or a shipped configuration: ${shippedNames().join(', ')}`,
      facts: { file: path },
      cause,
    })
  try {
    return await readForeignText(path, { bytes: MAX_YAML_BYTES, unreadable })
  } catch (error) {
    if (!(error instanceof FreetumorError) || error instanceof ConfigError) throw error
    throw new ConfigError(error.message, { hint: error.commandHint ?? 'correct the file', cause: error })
  }
}

async function importModule(path: string): Promise<unknown> {
  try {
    const module = (await import(pathToFileURL(resolve(path)).href)) as { default?: unknown }
    if (module.default === undefined)
      throw new ConfigError(`${path} has no default export`, {
        hint: 'export the configuration with `export default defineConfig({ ... })`',
      })
    return module.default
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const typescript = path.endsWith('ts')
    throw new ConfigError(`${path}: ${(error as Error).message}`, {
      hint: typescript
        ? 'run it under a TypeScript loader (for instance `node --import tsx`), or compile it'
        : 'correct the module: `node FILE` must run it without an error',
      cause: error,
    })
  }
}

/** Read the lists that are in files of their own; the resolved configuration contains them. */
async function withLists(input: unknown): Promise<unknown> {
  const simulation = (input as { simulation?: Record<string, unknown> } | null)?.simulation
  if (typeof simulation?.volumesMl === 'string')
    simulation.volumesMl = await readNumbers(simulation.volumesMl)
  if (typeof simulation?.positions === 'string')
    simulation.positions = await readPositions(simulation.positions)
  if (typeof simulation?.curriculum === 'string')
    simulation.curriculum = await readMeasuredRanges(simulation.curriculum)
  const sampling = (input as { sampling?: Record<string, unknown> } | null)?.sampling
  if (typeof sampling?.hardNegatives === 'string')
    sampling.hardNegatives = await readHardNegatives(sampling.hardNegatives)
  return input
}

/**
 * Apply `key=value` pairs to a configuration. Only own keys are followed, so that no pair reaches a prototype.
 * @throws ConfigError that names the pair
 */
export function withOverrides(input: unknown, pairs: readonly string[]): unknown {
  const copy = structuredClone(input)
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    if (at <= 0) throw new ConfigError(`--set ${pair}: no key=value pair`, { hint: 'write --set key=value' })
    const keys = pair.slice(0, at).split('.')
    const value = parseYaml(pair.slice(at + 1), `--set ${pair.slice(0, at)}`)
    let target: object = isBranch(copy) ? copy : {}
    for (const [depth, key] of keys.entries()) {
      refuseStrangeKey(target, key, pair)
      const last = depth === keys.length - 1
      const inner = ownValue(target, key)
      const next: unknown = last ? value : isBranch(inner) ? inner : {}
      ;(target as Record<string, unknown>)[key] = next
      target = next as object
    }
  }
  return copy
}

function isBranch(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function ownValue(target: object, key: string): unknown {
  return Object.hasOwn(target, key) ? target[key as keyof typeof target] : undefined
}

/** `__proto__` is no key of any configuration; a list has indices, and grows by one at most. */
function refuseStrangeKey(target: object, key: string, pair: string): void {
  if (key === '__proto__')
    throw new ConfigError(`--set ${pair}: the key __proto__ is not allowed`, { hint: 'correct the key' })
  if (Array.isArray(target) && !(/^\d+$/.test(key) && Number(key) <= target.length))
    throw new ConfigError(`--set ${pair}: no list index (expected 0 to ${target.length}, found ${key})`, {
      hint: 'correct the index',
    })
}

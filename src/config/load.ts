import { dirname, extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { stringify } from 'yaml'
import { ConfigError, FreetumorError } from '../errors.js'
import { readForeignText } from '../foreign-text.js'
import { readNumbers, readPositions } from './lists.js'
import { resolveConfig } from './resolve.js'
import type { RunConfig } from './schema.js'
import { MAX_YAML_BYTES, parseYaml } from './yaml.js'

export interface LoadOptions {
  /** `key=value` pairs laid over the file, for instance `training.steps=10`; values are YAML. */
  readonly set?: readonly string[]
}

/**
 * Reads a run configuration: a `.yaml`/`.yml`/`.json` file, or a module (`.js`, `.mjs`) whose default export is one.
 * @throws ConfigError that names the file and the key
 */
export async function loadConfig(path: string, options: LoadOptions = {}): Promise<RunConfig> {
  const extension = extname(path)
  const input = ['.js', '.mjs', '.ts', '.mts'].includes(extension)
    ? await importModule(path)
    : parseYaml(await readConfigText(path), path)
  const whole = anchored(withOverrides(input, options.set ?? []), dirname(path))
  return resolveConfig(await withLists(whole, dirname(path)), path)
}

/** The YAML of a resolved configuration. */
export function printConfig(config: RunConfig): string {
  return stringify(config, { lineWidth: 110, flowCollectionPadding: true })
}

async function readConfigText(path: string): Promise<string> {
  const unreadable = (code: string, cause: unknown): ConfigError =>
    new ConfigError(`configuration ${path} cannot be read: ${code}`, {
      hint: '`freetumor init` writes one',
      facts: { file: path },
      cause,
    })
  try {
    return await readForeignText(path, { bytes: MAX_YAML_BYTES, unreadable })
  } catch (error) {
    if (!(error instanceof FreetumorError) || error instanceof ConfigError) throw error
    throw new ConfigError(error.message, { ...(error.hint && { hint: error.hint }), cause: error })
  }
}

async function importModule(path: string): Promise<unknown> {
  try {
    const module = (await import(pathToFileURL(resolve(path)).href)) as { default?: unknown }
    if (module.default === undefined) throw new ConfigError(`${path}: has no default export`)
    return module.default
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const typescript = path.endsWith('ts')
    throw new ConfigError(`${path}: ${(error as Error).message}`, {
      ...(typescript
        ? { hint: 'run it under a TypeScript loader (for instance `node --import tsx`), or compile it' }
        : {}),
      cause: error,
    })
  }
}

/** `trainFrom` names a file beside the one that names it. */
function anchored(input: unknown, folder: string): unknown {
  const networks = (input as { networks?: Record<string, { trainFrom?: unknown } | null> } | null)?.networks
  for (const network of [networks?.baseline, networks?.generator])
    if (typeof network?.trainFrom === 'string') network.trainFrom = resolve(folder, network.trainFrom)
  return input
}

/** Lists that stand in files beside the configuration; the resolved one holds them. */
async function withLists(input: unknown, folder: string): Promise<unknown> {
  const simulation = (input as { simulation?: Record<string, unknown> } | null)?.simulation
  if (typeof simulation?.volumesMl === 'string')
    simulation.volumesMl = await readNumbers(resolve(folder, simulation.volumesMl))
  if (typeof simulation?.positions === 'string')
    simulation.positions = await readPositions(resolve(folder, simulation.positions))
  return input
}

/**
 * Lays `key=value` pairs over a configuration; only own keys are followed, so that no pair reaches a prototype.
 * @throws ConfigError that names the pair
 */
export function withOverrides(input: unknown, pairs: readonly string[]): unknown {
  const copy = structuredClone(input)
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    if (at <= 0) throw new ConfigError(`--set ${pair}: key=value was expected`)
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

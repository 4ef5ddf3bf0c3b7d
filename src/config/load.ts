import { readFile, stat } from 'node:fs/promises'
import { dirname, extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parse, parseDocument, stringify } from 'yaml'
import { ConfigError } from '../errors.js'
import { readNumbers, readPositions } from './lists.js'
import { resolveConfig } from './resolve.js'
import type { RunConfig } from './schema.js'

const MAX_BYTES = 256 * 1024
const MAX_DEPTH = 100

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
    : parseConfigText(await readText(path), path)
  const whole = anchored(withOverrides(input, options.set ?? []), dirname(path))
  return resolveConfig(await withLists(whole, dirname(path)), path)
}

/** The YAML of a resolved configuration. */
export function printConfig(config: RunConfig): string {
  return stringify(config, { lineWidth: 110, flowCollectionPadding: true })
}

/** Parses YAML safely: bounded size and depth, YAML 1.2 core types, unique keys, no custom tags. */
export function parseConfigText(text: string, name: string): unknown {
  if (/^%YAML\s+1\.1/m.test(text))
    throw new ConfigError(`${name}: %YAML 1.1 is not accepted; remove that line`)
  // The parser recurses: a deep document would abort the process, so depth is bounded before it runs.
  if (nesting(text) > MAX_DEPTH) throw new ConfigError(`${name}: nested deeper than ${MAX_DEPTH} levels`)
  const document = parseDocument(text, { schema: 'core', uniqueKeys: true, prettyErrors: true })
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem) throw new ConfigError(`${name}: ${problem.message.trim()}`, { facts: { file: name } })
  return document.toJS({ maxAliasCount: 10 })
}

async function readText(path: string): Promise<string> {
  try {
    const info = await stat(path)
    if (!info.isFile()) throw new ConfigError(`${path} is not a file`)
    if (info.size > MAX_BYTES) throw new ConfigError(`${path}: larger than ${MAX_BYTES / 1024} KiB`)
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(
      `configuration ${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? error}`,
      {
        hint: '`freetumor init` writes one',
        facts: { file: path },
        cause: error,
      },
    )
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

export function withOverrides(input: unknown, pairs: readonly string[]): unknown {
  const copy = structuredClone(input)
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    if (at <= 0) throw new ConfigError(`--set ${pair}: key=value was expected`)
    const path = pair.slice(0, at).split('.')
    let target = copy as Record<string, unknown>
    for (const key of path.slice(0, -1)) {
      const inner = target[key]
      if (typeof inner !== 'object' || inner === null) target[key] = {}
      target = target[key] as Record<string, unknown>
    }
    target[path.at(-1)!] = parse(pair.slice(at + 1), { schema: 'core' })
  }
  return copy
}

/** An upper bound of the nesting depth: brackets in flow, indentation in block style. */
function nesting(text: string): number {
  let depth = 0
  let deepest = 0
  for (const character of text) {
    if (character === '[' || character === '{') deepest = Math.max(deepest, ++depth)
    else if (character === ']' || character === '}') depth--
  }
  for (const line of text.split('\n')) {
    const indent = line.match(/^(?:\s*- )*\s*/)?.[0].length ?? 0
    deepest = Math.max(deepest, Math.ceil(indent / 2))
  }
  return deepest
}

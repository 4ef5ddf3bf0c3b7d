import { existsSync } from 'node:fs'
import { dirname, extname, isAbsolute, join, relative, resolve } from 'node:path'
import { anchoredToFile, pathsOf } from '../config/paths.js'
import { resolveConfig } from '../config/resolve.js'
import type { RunConfig } from '../config/schema.js'
import { shippedNames } from '../config/shipped.js'
import { ConfigError, DataError, UsageError } from '../errors.js'
import { readForeignJson, readForeignText } from '../foreign-text.js'
import { loadConfig } from '../index.js'
import { findLinkOut, realTarget, targetsInside } from './links.js'

const PACKAGE = resolve(import.meta.dirname, '../..')

/** The folders in which the tools may read and write. */
export interface Places {
  /**
   * Return the absolute path of a file or folder, existing or not.
   * @param links symbolic links below a folder that lead out. Default: refused
   * @throws UsageError outside the folders
   */
  path(given: string, links?: 'refused' | 'kept'): Promise<string>
  /** Return the absolute path of data, configurations included. @throws UsageError, ConfigError as the others */
  data(given: string): Promise<string>
  /** Load a configuration: YAML, JSON or a shipped name. @throws ConfigError if it names a program or a path outside */
  config(given: string): Promise<RunConfig>
  /** Resolve the keys of a configuration file, and refuse it like `config`. */
  resolved(input: unknown, file: string): Promise<RunConfig>
}

/** @param folders real paths; relative paths start at the first one */
export function placesIn(folders: readonly string[]): Places {
  const inside = (real: string): boolean =>
    folders.some((folder) => {
      const below = relative(folder, real)
      return below === '' || !(below.startsWith('..') || isAbsolute(below))
    })

  const path = async (given: string, links = 'refused'): Promise<string> => {
    const real = await realTarget(resolve(folders[0]!, given))
    if (!inside(real)) throw new UsageError(`${given}: outside the folders of this server`, { hint: BELOW })
    if (links === 'refused') await refuseLinks(real)
    return real
  }

  const refuseLinks = async (folder: string): Promise<void> => {
    const link = await findLinkOut(folder, inside)
    if (link !== null)
      throw new UsageError(`${link}: a symbolic link that leads outside the folders of this server`, {
        hint: 'remove it, or give `freetumor mcp` the folder of its target, too',
      })
  }

  const check = async (config: RunConfig, file: string, parents: readonly string[]): Promise<void> => {
    const program = programIn(config)
    if (program !== null)
      throw new ConfigError(`${file}: ${program}: names a program (expected none in this server)`, {
        hint: 'remove the key, or start the training in a terminal',
      })
    const tracker = (['mlflow', 'wandb', 'otlp'] as const).find((name) => config.tracking[name] !== null)
    if (tracker !== undefined)
      throw new ConfigError(`${file}: tracking.${tracker}: sends figures (expected none in this server)`, {
        hint: 'remove the key; `freetumor runs sync` sends the figures of an ended run',
      })
    for (const { key, path: named } of pathsOf(config)) {
      if (named.startsWith(join(PACKAGE, 'configs'))) continue
      await refuseOutside(named, `${file}: ${key}`)
      // other projects may lie below the root of the data
      if (key !== 'data.root') await refuseLinks(named)
      if (key.endsWith('.trainFrom') && !parents.includes(named)) await loaded(named, [...parents, named])
    }
    await checkDatasets(config, file)
  }

  const checkDatasets = async ({ data }: RunConfig, file: string): Promise<void> => {
    if (data.manifest !== null) return await checkTexts(resolve(data.manifest), [data.root])
    for (const { name, path: named } of data.datasets) {
      const folder = resolve(data.root, named ?? name)
      const { layout } = data.registry.find((one) => one.name === name) ?? {}
      for (const part of ['', ...textsIn(layout)])
        await refuseOutside(resolve(folder, part), `${file}: data.datasets: ${name}`)
      await checkSource(folder, [data.root, join(data.root, name)])
    }
  }

  const refuseOutside = async (named: string, where: string): Promise<void> => {
    if (inside(await realTarget(resolve(folders[0]!, named)))) return
    throw outsideOf(where, named)
  }

  /** @param bases folders at which paths of a list may start, in addition to its own folder */
  const checkSource = async (source: string, bases: readonly string[]): Promise<void> => {
    if (!existsSync(source)) return
    if (LISTS.includes(extname(source).toLowerCase())) return await checkTexts(source, bases)
    await refuseLinks(source)
    const list = join(source, 'dataset.json')
    // a damaged list becomes a finding where it is read
    if (existsSync(list)) await checkTexts(list, bases).catch(unlessDamaged)
  }

  // lists and manifests may name any file
  const checkTexts = async (file: string, bases: readonly string[]): Promise<void> => {
    const isInside = targetsInside(inside)
    const texts = file.endsWith('.txt')
      ? (await readForeignText(file)).split('\n').map((line) => line.trim())
      : textsIn(await readForeignJson(file, { bytes: 500e6, values: 20e6 }))
    const starts = [...new Set([dirname(file), folders[0]!, ...bases])]
    for (const text of new Set(texts.filter((one) => !DIGEST.test(one)))) {
      const places = starts.map((start) => resolve(start, text))
      const within = await Promise.all(places.map(isInside))
      const outside = places.filter((_, at) => !within[at])
      // a reader takes the first start that has the file
      const reached = within.includes(true) ? outside.find((place) => existsSync(place)) : outside[0]
      if (reached !== undefined) throw outsideOf(file, reached)
    }
  }

  /** @param parents files whose `trainFrom` leads to this one */
  const loaded = async (given: string, parents: readonly string[] = []): Promise<RunConfig> => {
    const shipped = shippedNames().includes(given)
    if (!shipped && !CONFIGS.includes(extname(given).toLowerCase())) throw noConfig(given)
    const config = await loadConfig(shipped ? given : await path(given), { onNote: () => {} })
    await check(config, given, parents)
    return config
  }

  return {
    path,
    async data(given) {
      const file = await path(given)
      const ending = extname(file).toLowerCase()
      if (MODULES.includes(ending)) throw noConfig(given)
      if (CONFIGS.includes(ending) && ending !== '.json') await loaded(given)
      else await checkSource(file, [])
      return file
    },
    config: (given) => loaded(given),
    async resolved(input, file) {
      const target = await path(file)
      const resolved = resolveConfig(
        anchoredToFile(input, target, () => {}),
        file,
      )
      await check(resolved, file, [])
      return resolved
    },
  }
}

const BELOW = 'name a path below the folders that `freetumor mcp` was given'
const CONFIGS = ['.yaml', '.yml', '.json']
const DIGEST = /^(ends|sha256):[0-9a-f]{64}$/
// their texts may be paths
const LISTS = ['.json', '.txt']
// they would run as code
const MODULES = ['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts']

function noConfig(given: string): ConfigError {
  return new ConfigError(`${given}: no configuration (expected .yaml, .yml or .json)`, {
    hint: `name a file of these types, or one of ${shippedNames().join(', ')}`,
  })
}

/** Return the key of a configuration that starts a program of its own; null if none does. */
function programIn(config: RunConfig): string | null {
  const { baseline, generator } = config.networks
  if (config.runtime.python !== null) return 'runtime.python'
  if (baseline?.plugin) return 'networks.baseline.plugin'
  return generator?.plugin ? 'networks.generator.plugin' : null
}

function outsideOf(where: string, found: string): ConfigError {
  return new ConfigError(`${where}: outside the folders of this server (found ${found})`, { hint: BELOW })
}

function unlessDamaged(error: unknown): void {
  if (!(error instanceof DataError)) throw error
}

/** Return all texts within a value. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : []
}

import { realpath } from 'node:fs/promises'
import { basename, dirname, extname, isAbsolute, join, relative, resolve } from 'node:path'
import { anchoredToFile, pathsOf } from '../config/paths.js'
import { resolveConfig } from '../config/resolve.js'
import type { RunConfig } from '../config/schema.js'
import { shippedNames } from '../config/shipped.js'
import { ConfigError, UsageError } from '../errors.js'
import { readForeignJson } from '../foreign-text.js'
import { loadConfig } from '../index.js'

const PACKAGE = resolve(import.meta.dirname, '../..')

/** The folders in which the tools may read and write. */
export interface Places {
  /** Return the absolute path of a file or folder, existing or not. @throws UsageError outside the folders */
  path(given: string): Promise<string>
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

  const path = async (given: string): Promise<string> => {
    const real = await realTarget(resolve(folders[0]!, given))
    if (inside(real)) return real
    throw new UsageError(`${given}: outside the folders of this server`, {
      hint: 'name a path below the folders that `freetumor mcp` was given',
    })
  }

  const check = async (config: RunConfig, file: string, parents: readonly string[]): Promise<void> => {
    const program = programIn(config)
    if (program !== null)
      throw new ConfigError(`${file}: ${program}: names a program (expected none in this server)`, {
        hint: 'remove the key, or start the training in a terminal',
      })
    for (const { key, path: named } of pathsOf(config)) {
      if (named.startsWith(join(PACKAGE, 'configs'))) continue
      await refuseOutside(named, `${file}: ${key}`)
      if (key.endsWith('.trainFrom') && !parents.includes(named)) await loaded(named, [...parents, named])
    }
    if (config.data.manifest !== null) await checkManifest(resolve(config.data.manifest))
  }

  const refuseOutside = async (named: string, where: string): Promise<void> => {
    if (inside(await realTarget(resolve(folders[0]!, named)))) return
    throw new ConfigError(`${where}: outside the folders of this server (found ${named})`, {
      hint: 'name a path below the folders that `freetumor mcp` was given',
    })
  }

  // a manifest may name any file; lists are confined where they are read
  const checkManifest = async (file: string): Promise<void> => {
    const manifest = await readForeignJson(file, { bytes: 500e6, values: 20e6 })
    for (const named of textsIn(manifest)) if (/^\/|\.\.\//.test(named)) await refuseOutside(named, file)
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
      if (CONFIGS.includes(ending) && ending !== '.json') await loaded(given)
      if (ending === '.json') await checkManifest(file)
      if (MODULES.includes(ending)) throw noConfig(given)
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

const CONFIGS = ['.yaml', '.yml', '.json']
// they would run as code
const MODULES = ['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts']

function noConfig(given: string): ConfigError {
  return new ConfigError(`${given}: no configuration (expected .yaml, .yml or .json)`, {
    hint: `name a file of these types, or one of ${shippedNames().join(', ')}`,
  })
}

/** Return the real path; of a path that does not exist, that of its nearest folder with the rest. */
async function realTarget(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if ((code !== 'ENOENT' && code !== 'ENOTDIR') || dirname(path) === path)
      throw new UsageError(`${path}: cannot be read (${code})`, { hint: 'correct its permissions' })
    return join(await realTarget(dirname(path)), basename(path))
  }
}

/** Return the key of a configuration that starts a program of its own; null if none does. */
function programIn(config: RunConfig): string | null {
  const { baseline, generator } = config.networks
  if (config.runtime.python !== null) return 'runtime.python'
  if (baseline?.plugin) return 'networks.baseline.plugin'
  return generator?.plugin ? 'networks.generator.plugin' : null
}

/** Return all texts within a value. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : []
}

import { ConfigError } from '../errors.js'
import type { ConfigInput } from '../generated/config-input.js'
import { checkTogether } from './check-together.js'
import { complete, deepFreeze, isObject, jobAndRegion } from './complete.js'
import { defaultsFor } from './defaults.js'
import { type RunConfig, runConfigSchema } from './schema.js'

/** Types a configuration in a TypeScript module; checked when it is loaded. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config
}

/**
 * Fills, checks and freezes a configuration.
 * @param name how messages call it, usually the file's path
 * @throws ConfigError that names the file, the key, what was expected and what was got
 */
export function resolveConfig(input: unknown, name = 'config'): RunConfig {
  if (!isObject(input)) throw new ConfigError(`${name}: a mapping of keys was expected`)
  const { job, region } = jobAndRegion(input, name)
  const config = complete(runConfigSchema, defaultsFor(job, region), input, name) as RunConfig
  checkTogether(config, name)
  return deepFreeze(config)
}

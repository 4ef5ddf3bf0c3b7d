import type { ConfigInput } from '../generated/config-input.js'
import { checkTogether } from './check-together.js'
import { complete, deepFreeze, isObject, jobAndRegion, noMapping } from './complete.js'
import { defaultsFor } from './defaults.js'
import { type RunConfig, runConfigSchema } from './schema.js'
import { withPreset } from './segmentor-presets.js'

/** Type a configuration in a TypeScript module. It is checked when it is loaded. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config
}

/**
 * Fill, check and freeze a configuration.
 * @param name the name in errors, usually the path of the file
 * @throws ConfigError that names the file, the key, the expected and the found value
 */
export function resolveConfig(input: unknown, name = 'config'): RunConfig {
  if (!isObject(input)) throw noMapping(name)
  const { job, region } = jobAndRegion(input, name)
  const config = complete(
    runConfigSchema,
    withPreset(defaultsFor(job, region), input, { job, region }),
    input,
    name,
  ) as RunConfig
  checkTogether(config, name)
  return deepFreeze(config)
}

import { z } from 'zod'
import { complete, deepFreeze, isObject, jobAndRegion, noMapping } from './complete.js'
import { defaultsFor } from './defaults.js'
import { type RunConfig, runConfigSchema } from './schema.js'

/**
 * Fill, check and freeze the sections that a stage needs, from an input that states its job. Other sections of the input
 * are checked too, but may be incomplete. No check compares sections, see check-together.ts.
 * @param name the name in errors
 * @throws ConfigError as `resolveConfig`
 */
export function resolveSections<K extends keyof RunConfig>(
  wanted: readonly K[],
  input: unknown,
  name = 'config',
): Pick<RunConfig, K> {
  if (!isObject(input)) throw noMapping(name)
  const { job, region } = jobAndRegion(input, name)
  const isWanted = (key: string): boolean => (wanted as readonly string[]).includes(key)
  const isChecked = ([key]: readonly [string, unknown]): boolean => isWanted(key) || Object.hasOwn(input, key)
  const defaults = Object.entries(defaultsFor(job, region)).filter(isChecked)
  const shape = Object.entries(runConfigSchema.shape)
    .filter(isChecked)
    .map(([key, section]) => [key, isWanted(key) ? section : incomplete(section)] as const)
  const schema = z.strictObject(Object.fromEntries(shape))
  const sections = complete(schema, Object.fromEntries(defaults), input, name)
  const found = Object.fromEntries(Object.entries(sections).filter(([key]) => isWanted(key)))
  return deepFreeze(found) as unknown as Pick<RunConfig, K>
}

function incomplete(section: z.ZodType): z.ZodType {
  return section instanceof z.ZodObject ? section.partial() : section
}

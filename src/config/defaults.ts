import { defaultsOf, type JobAndRegion } from './key.js'
import { runConfigSchema } from './schema.js'

export { DEFAULT_CACHE } from './sections/prepare.js'

/**
 * The defaults of a job in a region, as the keys state them: the published settings, but for docs/published-constants.md. A
 * user's file is laid over them key by key; a list replaces a list. Null where derived.ts fills in what follows from other keys.
 */
export function defaultsFor(
  job: JobAndRegion['job'],
  region: JobAndRegion['region'],
): Record<string, unknown> {
  return { ...defaultsOf(runConfigSchema, { job, region }), region }
}

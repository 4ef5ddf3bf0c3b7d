import { z } from 'zod'
import { defaultFor, docOf, ITS_KEYS, JOBS, type JobAndRegion, type KeyDoc, REGIONS } from './key.js'
import { runConfigSchema } from './schema.js'

/** A JSON schema, as far as this project writes one. */
export interface JsonSchema {
  type?: string | string[]
  description?: string
  default?: unknown
  properties?: Record<string, JsonSchema>
  required?: string[]
  items?: JsonSchema | false
  prefixItems?: JsonSchema[]
  additionalProperties?: JsonSchema | false
  propertyNames?: JsonSchema
  anyOf?: JsonSchema[]
  oneOf?: JsonSchema[]
  enum?: unknown[]
  const?: unknown
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  facts?: SchemaFacts
  [keyword: string]: unknown
}

/** Description and facts of a key, as text. */
export interface SchemaFacts {
  readonly description: string
  readonly effect: string
  readonly unit: string | null
  /** The value; a sentence where it depends on the job, the region or other keys; null for a section. */
  readonly default: unknown
  /** `default` in words. */
  readonly defaultText: string
  readonly source: string
  /** Whether the value names a file or folder, see key.ts. */
  readonly path: NonNullable<KeyDoc['path']> | false
}

let cached: JsonSchema | undefined

/** The JSON schema of a configuration file, with what is known of each key under `facts`. */
export function describedSchema(): JsonSchema {
  cached ??= z.toJSONSchema(runConfigSchema, {
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => {
      const doc = docOf(zodSchema)
      if (doc === undefined) return
      const schema = jsonSchema as JsonSchema
      schema.facts = factsOf(doc, zodSchema, schema)
    },
  }) as JsonSchema
  return cached
}

/** The JSON schema of a user's file, for editors: no key but `job` and `data` is required. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = forEditors(describedSchema())
  return { ...schema, title: 'freetumor run configuration', required: ['job', 'data'] }
}

const FILE_NAME: JsonSchema = { type: 'string', minLength: 1 }

/** Put the facts of a key into its description, and drop `required`, which holds for resolved configurations only. */
function forEditors({ facts, required: _, ...schema }: JsonSchema): JsonSchema {
  const { properties, items, anyOf, oneOf } = schema
  return {
    ...schema,
    ...(properties && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, inner]) => [name, forEditors(inner)]),
      ),
    }),
    ...(items && { items: forEditors(items) }),
    ...(anyOf && { anyOf: [...anyOf.map(forEditors), ...(facts?.path === 'list' ? [FILE_NAME] : [])] }),
    ...(oneOf && { oneOf: oneOf.map(forEditors) }),
    ...(facts && { description: describe(facts) }),
  }
}

/** Two sentences, then a line for each fact. */
function describe(facts: SchemaFacts): string {
  return [`${facts.description} ${facts.effect}`, '', ...factLines(facts)].join('\n')
}

/** Unit, default, rule for relative paths and source, one line each. */
export function factLines({ unit, defaultText, path, source }: SchemaFacts): string[] {
  return [
    ...(unit === null ? [] : [`Unit: ${unit}`]),
    ...(defaultText === '' ? [] : [`Default: ${defaultText}`]),
    ...(path === false
      ? []
      : ['Relative paths: from the folder of the file; with --set, from the working directory']),
    `Source: ${source}`,
  ]
}

function factsOf(doc: KeyDoc, zodSchema: unknown, schema: JsonSchema): SchemaFacts {
  const { description, effect, unit = null, source, path = false } = doc
  return { description, effect, unit, source, path, ...defaultOf(doc, zodSchema, schema) }
}

function defaultOf(
  doc: KeyDoc,
  zodSchema: unknown,
  schema: JsonSchema,
): Pick<SchemaFacts, 'default' | 'defaultText'> {
  if (doc.follows !== undefined) return inWords(doc.follows)
  if (zodSchema instanceof z.ZodDefault) return uniform(zodSchema.def.defaultValue)
  if (zodSchema instanceof z.ZodOptional) return inWords('none')
  if (doc.default === undefined) return schema.properties ? inWords('') : inWords('none (required)')
  const values = RUNS.map((run) => ({ run, value: defaultFor(doc, run) }))
  const groups = new Map<string, { readonly value: unknown; readonly runs: JobAndRegion[] }>()
  for (const { run, value } of values) {
    const text = shown(value)
    groups.set(text, { value, runs: [...(groups.get(text)?.runs ?? []), run] })
  }
  const [only, ...others] = groups.values()
  if (others.length === 0) return uniform(only!.value)
  return inWords([...groups].map(([text, { runs }]) => `${text} (${runsInWords(runs)})`).join(', '))
}

const RUNS: readonly JobAndRegion[] = JOBS.flatMap((job) => REGIONS.map((region) => ({ job, region })))

function uniform(value: unknown): Pick<SchemaFacts, 'default' | 'defaultText'> {
  return { default: value, defaultText: shown(value) }
}

function inWords(text: string): Pick<SchemaFacts, 'default' | 'defaultText'> {
  return { default: text === '' ? null : text, defaultText: text }
}

/** Return jobs and regions in few words: a region stands for all its jobs, a job for both regions. */
function runsInWords(runs: readonly JobAndRegion[]): string {
  const names = (run: JobAndRegion): string => {
    const same = (key: keyof JobAndRegion) => runs.filter((other) => other[key] === run[key]).length
    if (same('region') === JOBS.length) return run.region
    return same('job') === REGIONS.length ? run.job : `${run.region} ${run.job}`
  }
  return [...new Set(runs.map(names))].join(', ')
}

function shown(value: unknown): string {
  if (value === ITS_KEYS) return 'the defaults of its keys'
  const text = JSON.stringify(value)
  return typeof value === 'object'
    ? text.replaceAll(',', ', ').replaceAll(':', ': ').replaceAll('"', '')
    : text.replaceAll('"', '')
}

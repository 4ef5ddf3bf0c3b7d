import { z } from 'zod'
import type { DeepReadonly } from './types.js'

export const JOBS = ['baseline', 'synthesis', 'segmentation'] as const
export const REGIONS = ['abdomen', 'chest'] as const
export const ORGAN_NAMES = ['liver', 'pancreas', 'kidney', 'lung'] as const

/** Job and region, which a default may depend on. */
export interface JobAndRegion {
  readonly job: (typeof JOBS)[number]
  readonly region: (typeof REGIONS)[number]
}

/** The default of a section that may be null: the section, with the defaults of its keys. */
export const ITS_KEYS = Symbol('the defaults of its keys')

/** Facts of a key in addition to its type. */
export interface KeyFacts<T = unknown> {
  /** Source of the key or of its default, see sources.ts. */
  readonly source: string
  /** Unit of the value, or of each number in it. */
  readonly unit?: string
  /** The default, or a function where it depends on job and region. Absent: required, a section, or stated by the type. */
  readonly default?: T | typeof ITS_KEYS | ((run: JobAndRegion) => T | typeof ITS_KEYS)
  /** The default in words, where it follows from other keys. Without `default`, derived.ts fills it in. */
  readonly follows?: string
  /**
   * A file or folder, see paths.ts. `list`: a list, or in a file the name of the text file that holds it; `program`: an
   * executable, or the name of one in PATH; `command`: the words of a command line, some of which may be paths.
   */
  readonly path?: true | 'list' | 'program' | 'command'
}

/** A key as `config explain`, the JSON schema and the generated files show it. */
export interface KeyDoc extends KeyFacts {
  /** The key in one sentence. */
  readonly description: string
  /** The effect of another value in one sentence. */
  readonly effect: string
}

const DOCS = z.registry<KeyDoc>()

/** Describe a key of a section. The given schema is not changed; several keys may share it. */
export function key<T extends z.ZodType>(
  schema: T,
  description: string,
  effect: string,
  facts: KeyFacts<DeepReadonly<z.input<T>>>,
): T {
  const own = schema.meta({ description }) as T
  DOCS.add(own, { description, effect, ...facts } as KeyDoc)
  return own
}

/** Return the description of a key by its schema; undefined for another schema. */
export function docOf(schema: unknown): KeyDoc | undefined {
  return schema instanceof z.ZodType ? DOCS.get(schema) : undefined
}

/** Return the defaults of the keys of an object, section by section. */
export function defaultsOf(schema: z.ZodObject, run: JobAndRegion): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  for (const [name, inner] of Object.entries(schema.shape)) {
    const doc = docOf(inner)
    const section = sectionOf(inner)
    const value = doc && defaultFor(doc, run)
    if (section !== null && (value === undefined || value === ITS_KEYS))
      found[name] = defaultsOf(section, run)
    else if (value !== undefined) found[name] = value
  }
  return found
}

/** Return the default of a key for a job in a region; undefined if it has none of its own. */
export function defaultFor(doc: KeyDoc, run: JobAndRegion): unknown {
  if (doc.default === undefined && doc.follows !== undefined) return null
  return typeof doc.default === 'function' ? doc.default(run) : doc.default
}

function sectionOf(schema: unknown): z.ZodObject | null {
  if (schema instanceof z.ZodNullable) return sectionOf(schema.unwrap())
  return schema instanceof z.ZodObject ? schema : null
}

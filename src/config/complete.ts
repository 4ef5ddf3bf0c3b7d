import type { z } from 'zod'
import { ConfigError } from '../errors.js'
import { suggestion } from '../suggestion.js'
import { fillDerived } from './derived.js'
import { describedSchema } from './json-schema.js'
import { JOBS, type JobAndRegion, REGIONS } from './key.js'

/**
 * Lay keys over their defaults and check them.
 * @throws ConfigError that names the file, the key, the expected and the found value
 */
export function complete<T extends z.ZodObject>(
  schema: T,
  defaults: Record<string, unknown>,
  input: Record<string, unknown>,
  name: string,
): z.infer<T> {
  const merged = layOver(defaults, input)
  fillDerived(merged)
  const parsed = schema.safeParse(merged)
  if (!parsed.success)
    throw new ConfigError(describe(name, parsed.error.issues, merged), {
      hint: `\`freetumor config explain${sectionOf(parsed.error.issues)}\` lists the keys and their values`,
      facts: { file: name },
    })
  return parsed.data
}

/** Return the job and the region of an input, which decide its defaults. @throws ConfigError */
export function jobAndRegion(input: Record<string, unknown>, name: string): JobAndRegion {
  return {
    job: oneOf(name, 'job', input.job, JOBS),
    region: oneOf(name, 'region', input.region ?? 'abdomen', REGIONS),
  }
}

/**
 * Return the faults of a value in words, one a line.
 * @param at keys that lead from the configuration to the value. Default: the value is the whole configuration
 */
export function describe(
  name: string,
  issues: readonly z.core.$ZodIssue[],
  merged: unknown,
  at: readonly string[] = [],
): string {
  const lines = issues.slice(0, 5).map((issue) => {
    const path = issue.path.map(String)
    if (issue.code === 'unrecognized_keys') {
      const known = knownKeys([...at, ...path])
      return issue.keys
        .slice(0, 5)
        .map((key) => `${name}: unknown key ${[...path, key].join('.')}${suggestion(key, known)}`)
        .join('\n')
    }
    // the value may be a secret
    if (issue.code === 'invalid_key')
      return wrongValue(
        name,
        path.slice(0, -1).join('.'),
        issue.issues[0]?.message ?? issue.message,
        path.at(-1),
      )
    return wrongValue(
      name,
      path.join('.') || (at.length > 0 ? 'entry' : 'config'),
      expectation(issue),
      valueAt(merged, path),
    )
  })
  const more = issues.length > 5 ? `\n(and ${issues.length - 5} more)` : ''
  return lines.join('\n') + more
}

/** Return the words for a wrong value of a key. */
function wrongValue(name: string, key: string, expected: string, value: unknown): string {
  return `${name}: ${key}: wrong value (expected ${expected}, found ${shown(value)})`
}

/** Return the section of the first fault, after a space; empty for a fault outside all sections. */
function sectionOf([first]: readonly z.core.$ZodIssue[]): string {
  const section = first?.path[0]
  return section === undefined ? '' : ` ${String(section)}`
}

function shown(value: unknown): string {
  // a URL may hold a password, or a token as the user or in the query
  const text = (JSON.stringify(value) ?? 'nothing')
    .replace(/(:\/\/[^/\s@:"]*):[^/\s@"]*@/g, '$1:***@')
    .replace(/:\/\/[^/\s@:"]+@/g, '://***@')
    .replace(/(:\/\/[^\s?#"]*)[?#][^\s"]*/g, '$1?***')
  return text.length > 200 ? `${text.slice(0, 200)}...` : text
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === 'too_small')
    return `${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}${unitOf(issue.origin)}`
  if (issue.code === 'too_big')
    return `${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}${unitOf(issue.origin)}`
  if (issue.code === 'invalid_value') return `one of ${issue.values.join(', ')}`
  if (issue.code === 'invalid_type') return issue.expected
  if (issue.code === 'invalid_union')
    return issue.message === 'Invalid input' ? 'another type' : issue.message
  return issue.message
}

/** Return the unit of a size after a space; empty for a number. */
function unitOf(origin: string): string {
  return { array: ' entries', string: ' characters' }[origin] ?? ''
}

function knownKeys(path: readonly string[]): string[] {
  let schema: unknown = describedSchema()
  for (const key of path) {
    schema = unwrapNull(schema)
    if (!isObject(schema)) return []
    const properties = isObject(schema.properties) ? schema.properties : {}
    const inner = Object.hasOwn(properties, key) ? properties[key] : undefined
    schema = inner ?? schema.items ?? schema.additionalProperties
  }
  schema = unwrapNull(schema)
  return isObject(schema) && isObject(schema.properties) ? Object.keys(schema.properties) : []
}

function unwrapNull(schema: unknown): unknown {
  if (isObject(schema) && Array.isArray(schema.anyOf))
    return schema.anyOf.find((option) => isObject(option) && option.type !== 'null')
  return schema
}

/** Return the keys of `base`, replaced by those of `over`. Mappings are merged; lists and null replace. */
function layOver(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(over)) {
    if (value === undefined) continue
    if (key === '__proto__') throw new ConfigError('the key __proto__ is not allowed', { hint: 'remove it' })
    const below = Object.hasOwn(merged, key) ? merged[key] : undefined
    merged[key] = isObject(below) && isObject(value) && key !== 'organWeights' ? layOver(below, value) : value
  }
  // steps replace the default epochs; a run that is counted in steps validates only if a key states when
  if (over.steps != null && over.epochs === undefined && 'epochs' in base) {
    merged.epochs = null
    if (over.validateEveryEpochs === undefined) merged.validateEveryEpochs = null
  }
  if (over.validateEverySteps != null && over.validateEveryEpochs === undefined)
    merged.validateEveryEpochs = null
  return merged
}

function valueAt(root: unknown, path: readonly string[]): unknown {
  let value = root
  for (const key of path) value = (value as Record<string, unknown> | undefined)?.[key]
  return value
}

/** Return the error for an input that is no mapping. */
export function noMapping(name: string): ConfigError {
  return new ConfigError(`${name}: no configuration (expected a mapping of keys)`, {
    hint: 'write `key: value` lines, as in a file of `freetumor init`',
    facts: { file: name },
  })
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFreeze)
    Object.freeze(value)
  }
  return value
}
function oneOf<T extends string>(name: string, key: string, value: unknown, allowed: readonly T[]): T {
  if (typeof value === 'string' && (allowed as readonly string[]).includes(value)) return value as T
  throw new ConfigError(wrongValue(name, key, `one of ${allowed.join(', ')}`, value), {
    hint: `set ${key} to ${allowed.join(' or ')}`,
    facts: { file: name, key },
  })
}

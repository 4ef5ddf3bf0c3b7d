import type { z } from 'zod'
import { ConfigError } from '../errors.js'
import { fillDerived } from './derived.js'
import { describedSchema } from './json-schema.js'
import { JOBS, type JobAndRegion, REGIONS } from './key.js'
import { suggestion } from './suggestion.js'

/**
 * Lays keys over their defaults and checks them.
 * @throws ConfigError that names the file, the key, what was expected and what was got
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
    throw new ConfigError(describe(name, parsed.error.issues, merged), { facts: { file: name } })
  return parsed.data
}

/** The job and the region of an input, which decide its defaults. @throws ConfigError */
export function jobAndRegion(input: Record<string, unknown>, name: string): JobAndRegion {
  return {
    job: oneOf(name, 'job', input.job, JOBS),
    region: oneOf(name, 'region', input.region ?? 'abdomen', REGIONS),
  }
}

function describe(name: string, issues: readonly z.core.$ZodIssue[], merged: unknown): string {
  const lines = issues.slice(0, 5).map((issue) => {
    const path = issue.path.map(String)
    if (issue.code === 'unrecognized_keys') {
      const known = knownKeys(path)
      return issue.keys
        .slice(0, 5)
        .map((key) => `${name}: unknown key ${[...path, key].join('.')}${suggestion(key, known)}`)
        .join('\n')
    }
    return `${name}: ${path.join('.') || 'config'}: ${expectation(issue)}, got ${shown(valueAt(merged, path))}`
  })
  const more = issues.length > 5 ? `\n(and ${issues.length - 5} more)` : ''
  return lines.join('\n') + more
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 200 ? `${text.slice(0, 200)}...` : text
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === 'too_small') return `must be ${issue.inclusive ? '>=' : '>'} ${issue.minimum}`
  if (issue.code === 'too_big') return `must be ${issue.inclusive ? '<=' : '<'} ${issue.maximum}`
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.join(', ')}`
  if (issue.code === 'invalid_type') return `must be ${issue.expected}`
  return issue.message
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

/** Keys of `over` replace those of `base`; mappings are merged, lists and null replace. */
function layOver(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(over)) {
    if (value === undefined) continue
    if (key === '__proto__') throw new ConfigError('the key __proto__ is not allowed', { hint: 'remove it' })
    const below = Object.hasOwn(merged, key) ? merged[key] : undefined
    merged[key] = isObject(below) && isObject(value) && key !== 'organWeights' ? layOver(below, value) : value
  }
  // steps or epochs: naming one takes the place of the other's default; a run counted in steps validates when told to
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
  const got = value === undefined ? 'nothing' : JSON.stringify(value)
  throw new ConfigError(`${name}: ${key}: must be one of ${allowed.join(', ')}, got ${got}`, {
    facts: { file: name, key },
  })
}

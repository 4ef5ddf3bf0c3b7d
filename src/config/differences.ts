import { isAbsolute, sep } from 'node:path'
import { leaves } from './changes.js'
import { defaultsFor } from './defaults.js'
import { fillDerived } from './derived.js'
import type { RunConfig } from './schema.js'

/** A key whose value is not the default. Values are JSON. */
export interface Difference {
  readonly key: string
  readonly value: string
  /** Null for a key without a default. */
  readonly default: string | null
}

/** Return the keys of a resolved configuration that differ from the defaults of its job and region, in their order. */
export function differencesFromDefaults(config: RunConfig): Difference[] {
  const defaults = leaves(defaultsFor(config.job, config.region))
  return [...leaves(config)].flatMap(([key, value]) => {
    if (key === 'job' || key === 'region') return []
    const plain = defaults.get(key)
    const expected = plain === null && value !== null ? derivedFor(config, key) : plain
    if (expected !== undefined && isSame(value, expected)) return []
    const text = expected === undefined ? null : JSON.stringify(expected)
    return [{ key, value: JSON.stringify(value), default: text }]
  })
}

/** Return the value of a key that follows from the others; null if none does. */
function derivedFor(config: RunConfig, key: string): unknown {
  const tree = structuredClone(config) as unknown as Record<string, unknown>
  const names = key.split('.')
  const last = names.pop()!
  let section = tree
  for (const name of names) section = section[name] as Record<string, unknown>
  section[last] = null
  fillDerived(tree)
  return section[last]
}

/** A run records its paths as absolute ones. */
function isSame(value: unknown, expected: unknown): boolean {
  if (JSON.stringify(value) === JSON.stringify(expected)) return true
  const paths = typeof value === 'string' && typeof expected === 'string'
  return paths && isAbsolute(value) && !isAbsolute(expected) && value.endsWith(sep + expected)
}

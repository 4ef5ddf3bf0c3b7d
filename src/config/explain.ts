import { UsageError } from '../errors.js'
import { editDistance } from '../suggestion.js'
import { describedSchema, type JsonSchema, type SchemaFacts } from './json-schema.js'

/** A key of the configuration, dotted; `[]` stands for an entry of a list. */
export interface ConfigKey extends SchemaFacts {
  readonly key: string
  /** Type and limits in words. */
  readonly type: string
}

/** A key with those directly below it. */
export interface ExplainedKey extends ConfigKey {
  readonly keys: readonly Pick<ConfigKey, 'key' | 'description'>[]
}

/** Return every key, in the order of a complete configuration. */
export function configKeys(): readonly ConfigKey[] {
  const found = new Map<string, ConfigKey>()
  collect(describedSchema(), '', found)
  return [...found.values()]
}

/** Return the sections, and the keys outside them. */
export function sectionsOfConfig(): ExplainedKey['keys'] {
  const top = configKeys().filter(({ key }) => !key.includes('.'))
  return top.map(({ key, description }) => ({ key, description }))
}

/**
 * Explain a key or a section.
 * @param name dotted, as `--set` takes it: `training.accumulation`, `data.datasets.0.repeat`, `data.datasets[].repeat`
 * @throws UsageError that names the nearest keys
 */
export function explainKey(name: string): ExplainedKey {
  const keys = configKeys()
  const plain = withoutEntries(name)
  const found = keys.find(({ key }) => withoutEntries(key) === plain)
  if (found === undefined) throw unknownKey(name, keys)
  const below = keys.filter(({ key }) => parentOf(withoutEntries(key)) === plain)
  return { ...found, keys: below.map(({ key, description }) => ({ key, description })) }
}

function collect(schema: JsonSchema, path: string, found: Map<string, ConfigKey>): void {
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    const key = path === '' ? name : `${path}.${name}`
    if (inner.facts)
      found.set(key, withType({ key, type: typeInWords(inner), ...inner.facts }, found.get(key)))
    collect(inner, key, found)
  }
  for (const option of [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) collect(option, path, found)
  if (schema.items) collect(schema.items, `${path}[]`, found)
}

/** Merge the types of a key that several forms of a section share. */
function withType(fresh: ConfigKey, earlier: ConfigKey | undefined): ConfigKey {
  if (earlier === undefined || earlier.type === fresh.type) return fresh
  return { ...earlier, type: `${earlier.type}; or ${fresh.type}` }
}

function withoutEntries(key: string): string {
  return key.replace(/\[\d*\]/g, '').replace(/\.\d+(?=\.|$)/g, '')
}

function parentOf(key: string): string {
  return key.slice(0, Math.max(0, key.lastIndexOf('.')))
}

function unknownKey(name: string, keys: readonly ConfigKey[]): UsageError {
  const wanted = withoutEntries(name).toLowerCase()
  const last = wanted.slice(wanted.lastIndexOf('.') + 1)
  const ranked = keys
    .map(({ key }) => {
      const plain = withoutEntries(key).toLowerCase()
      const own = plain.slice(plain.lastIndexOf('.') + 1)
      return { key, distance: Math.min(editDistance(wanted, plain), editDistance(last, own) + 1) }
    })
    .sort((a, b) => a.distance - b.distance)
  const nearest = ranked
    .filter(({ distance }) => distance <= 2 * ranked[0]!.distance + 1)
    .slice(0, 3)
    .map(({ key }) => key)
  return new UsageError(`no configuration key is called ${name.slice(0, 100)}`, {
    hint: `did you mean ${nearest.join(' or ')}? \`freetumor config explain\` lists the sections`,
    facts: { key: name.slice(0, 100), nearest },
  })
}

/** Return a type and its limits in words. */
function typeInWords(schema: JsonSchema): string {
  const options = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].map(typeInWords)
  if (schema.facts?.path === 'list') options.push('name of a file')
  if (options.length > 0) return [...new Set(options)].join('; or ')
  if (Array.isArray(schema.type))
    return schema.type.map((type) => typeInWords({ ...schema, type })).join('; or ')
  if (schema.enum) return `one of ${schema.enum.join(', ')}`
  const { prefixItems, items } = schema
  if (prefixItems) return `list of ${prefixItems.length}, each ${typeInWords(prefixItems[0]!)}`
  switch (schema.type) {
    case 'array':
      return items ? `list, each ${typeInWords(items)}` : 'list'
    case 'object':
      return schema.properties ? 'mapping of its keys' : 'mapping'
    case 'integer':
      return `whole number${limits(schema)}`
    case 'number':
      return `number${limits(schema)}`
    case 'string':
      return schema.const === undefined ? 'text' : `\`${schema.const}\``
    case 'boolean':
      return 'true or false'
    default:
      return String(schema.type)
  }
}

/** Return minimum and maximum in words, without the limits of safe integers. */
function limits({ minimum, maximum, exclusiveMinimum }: JsonSchema): string {
  const lower = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? minimum : undefined
  const upper = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? maximum : undefined
  const parts = [
    ...(lower === undefined ? [] : [`>= ${lower}`]),
    ...(exclusiveMinimum === undefined ? [] : [`> ${exclusiveMinimum}`]),
    ...(upper === undefined ? [] : [`<= ${upper}`]),
  ]
  return parts.length > 0 ? ` ${parts.join(' and ')}` : ''
}

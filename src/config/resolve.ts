import type { z } from 'zod'
import { ConfigError } from '../errors.js'
import type { ConfigInput } from '../generated/config-input.js'
import { defaultsFor } from './defaults.js'
import { fillDerived } from './derived.js'
import { describedSchema } from './json-schema.js'
import { JOBS, REGIONS, type RunConfig, runConfigSchema } from './schema.js'
import { suggestion } from './suggestion.js'

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
  const job = oneOf(name, 'job', input.job, JOBS)
  const region = oneOf(name, 'region', input.region ?? 'abdomen', REGIONS)
  const merged = layOver(defaultsFor(job, region), input)
  fillDerived(merged)
  const parsed = runConfigSchema.safeParse(merged)
  if (!parsed.success)
    throw new ConfigError(describe(name, parsed.error.issues, merged), { facts: { file: name } })
  const config = parsed.data as RunConfig
  checkTogether(config, name)
  return deepFreeze(config)
}

/** What no single key can tell. */
function checkTogether(config: RunConfig, name: string): void {
  const { training, sampling, networks, prepare, simulation, runtime } = config
  const fail = (message: string, hint: string): never => {
    throw new ConfigError(`${name}: ${message}`, { hint, facts: { file: name } })
  }
  if ((training.steps === null) === (training.epochs === null))
    fail('training.steps and training.epochs: exactly one must be set, the other null', 'set one of them')
  if (training.validateEverySteps !== null && training.validateEveryEpochs !== null)
    fail(
      'training.validateEverySteps and training.validateEveryEpochs are both set',
      'set one of them, the other null',
    )
  if (prepare.windowHu[0] >= prepare.windowHu[1])
    fail(`prepare.windowHu must rise, got ${JSON.stringify(prepare.windowHu)}`, 'for instance [-175, 250]')
  const ranks = runtime.nodes * runtime.processesPerNode
  if (sampling.itemsPerStep % (ranks * training.accumulation) !== 0)
    fail(
      `sampling.itemsPerStep (${sampling.itemsPerStep}) must be divisible by ranks * training.accumulation (${ranks * training.accumulation})`,
      'change sampling.itemsPerStep, runtime.processesPerNode or training.accumulation; configs/*-8gpu.yaml scale the rate with them',
    )
  if (config.region === 'chest' && !['all', 'covid'].includes(training.target))
    fail(`training.target ${training.target} is of the abdomen, region is chest`, 'use covid or all')
  if (config.region === 'abdomen' && training.target === 'covid')
    fail('training.target covid is of the chest, region is abdomen', 'set region: chest')
  if (networks.segmentor.kind === 'swinunetr') {
    const wrong = sampling.patchVoxels.find((side) => side % 32 !== 0)
    if (wrong !== undefined)
      fail(
        `sampling.patchVoxels: ${wrong} is not a multiple of 32, which swinunetr needs`,
        'use 64, 96, 128 ...',
      )
    if (networks.segmentor.featureSize % 12 !== 0)
      fail('networks.segmentor.featureSize must be a multiple of 12 for swinunetr', 'published: 48')
  } else if (sampling.patchVoxels.some((side) => side % 8 !== 0)) {
    fail('sampling.patchVoxels must be multiples of 8', 'for instance [40, 40, 40]')
  }
  if (config.job === 'synthesis') {
    if (networks.baseline === null) fail('networks.baseline is needed by job synthesis', 'name a checkpoint')
    if (networks.generator === null) fail('networks.generator is needed by job synthesis', 'remove the null')
  }
  const needsTumors = config.job === 'synthesis' || training.task === 'freesyn'
  if (needsTumors) {
    if (sampling.patchVoxels.some((side, axis) => side > simulation.texture.sizeVoxels[axis]!))
      fail(
        'simulation.texture.sizeVoxels must be larger than sampling.patchVoxels on every axis',
        'enlarge it',
      )
    if (Object.values(simulation.sizeOdds).every((odds) => odds === 0))
      fail('simulation.sizeOdds: every size has odds 0', 'give at least one a positive number')
  }
  for (const key of ['baseline', 'generator'] as const) {
    const part = networks[key]
    const made = config.job === 'synthesis' && key === 'generator'
    const wanted = part !== null && !made && (key === 'generator' || needsTumors)
    if (wanted && training.task !== 'onlylabeled' && part.checkpoint === null && part.trainFrom === null)
      fail(
        `networks.${key} has neither checkpoint nor trainFrom`,
        `name the checkpoint of an earlier run, or the config that makes it${key === 'generator' ? ', or set networks.generator: null for hand-crafted tumors' : ''}`,
      )
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

function oneOf<T extends string>(name: string, key: string, value: unknown, allowed: readonly T[]): T {
  if (typeof value === 'string' && (allowed as readonly string[]).includes(value)) return value as T
  const got = value === undefined ? 'nothing' : JSON.stringify(value)
  throw new ConfigError(`${name}: ${key}: must be one of ${allowed.join(', ')}, got ${got}`, {
    facts: { file: name, key },
  })
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFreeze)
    Object.freeze(value)
  }
  return value
}

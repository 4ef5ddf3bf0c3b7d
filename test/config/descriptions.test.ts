import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type ConfigKey, configKeys, explainKey } from '../../src/config/explain.js'
import { configJsonSchema, describedSchema, type JsonSchema } from '../../src/config/json-schema.js'
import type { ConfigInput, RunConfig, runConfigSchema } from '../../src/config/schema.js'
import { shippedNames } from '../../src/config/shipped.js'
import type { DeepReadonly } from '../../src/config/types.js'
import { parseYaml } from '../../src/config/yaml.js'

const keys = configKeys()

/** Properties without a description, anywhere in a JSON schema. */
function undescribed(schema: JsonSchema, path = ''): string[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => [
    ...(inner.description ? [] : [`${path}${name}`]),
    ...undescribed(inner, `${path}${name}.`),
  ])
  const within = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.items ? [schema.items] : [])]
  return [...own, ...within.flatMap((inner) => undescribed(inner, path))]
}

/** The right column of the project's glossary, as far as it has words of its own. */
const NOT_OURS =
  /\b(go(es)? on|gone on|going on|anew|unbroken|half-written|cut off|tells?|told|in the world|share seen|kept share|tr(y|ies)|strokes?|pieces?|made CT|made volume|lives?|mortal|guarded|gate|so many|knows? no|does not know|nobody|somebody|wires?|meeting|litter)\b/i

const UNITS: readonly (readonly [RegExp, RegExp])[] = [
  [/HuPerMm$/, /^HU per mm$/],
  [/(?<!Per)Mm$/, /^mm$/],
  [/\.mm$/, /^mm$/],
  [/Ml$/, /^ml$/],
  [/(?<!Per)Hu$/, /^HU$/],
  [/Voxels(\.\w+)?$/, /^voxels$/],
  [/Seconds$/, /^s$/],
  [/Steps$|\.steps$/, /^optimizer steps$/],
  [/Epochs$|\.epochs$/, /^epochs$/],
  [/Probability$|Threshold$|overlap$/, /^0 to (1|0\.95)$/],
  [/Cases$/, /^cases$/],
  [/^radiusMm/, /^mm$/],
]

function sentencesOf(text: string): string[] {
  return text.split(/(?<=[.!?])\s+/)
}

describe('the keys of the configuration', () => {
  it('are all described, in the schema and in what explains them', () => {
    expect(undescribed(configJsonSchema() as JsonSchema)).toEqual([])
    expect(keys.length).toBeGreaterThan(230)
    expect(keys.filter(({ source }) => !/^(paper|published scripts|our choice)/.test(source))).toEqual([])
  })

  it('have two plain sentences each, of at most 25 words', () => {
    const wrong = keys.flatMap(({ key, description, effect }) => {
      const sentences = [description, effect].flatMap(sentencesOf)
      const long = sentences.filter((sentence) => sentence.split(/\s+/).length > 25)
      const odd = sentences.filter((sentence) => !/^[A-Z0-9`].*\.$/.test(sentence))
      return sentences.length === 2
        ? [...long, ...odd].map((text) => `${key}: ${text}`)
        : [`${key}: ${sentences}`]
    })
    expect(wrong).toEqual([])
  })

  it('use the words of the glossary', () => {
    const prose = ({ description, effect, defaultText, source }: ConfigKey) =>
      [description, effect, defaultText, source].join(' ').replace(/`[^`]*`/g, '')
    expect(keys.filter((key) => NOT_OURS.test(prose(key))).map(({ key }) => key)).toEqual([])
  })

  it('have the unit that their name has', () => {
    const wrong = keys.flatMap(({ key, unit }) => {
      const wanted = UNITS.find(([name]) => name.test(key))
      return wanted && !wanted[1].test(unit ?? '') ? [`${key}: ${unit}`] : []
    })
    expect(wrong).toEqual([])
  })

  it('state defaults that a file without them gets', () => {
    expect(explainKey('training.checkpointEverySteps').default).toBe(500)
    expect(explainKey('prepare.windowHu').default).toBe('[-175, 250] (abdomen), [-1000, 500] (chest)')
    expect(explainKey('training.epochs').default).toBe(
      '200 (abdomen baseline), 30 (chest baseline, chest segmentation), 100 (synthesis), 20 (abdomen segmentation)',
    )
    expect(explainKey('networks.baseline').default).toBe(
      'null (baseline), the defaults of its keys (synthesis, segmentation)',
    )
    expect(explainKey('data.datasets').default).toBe('none (required)')
  })
})

describe('configJsonSchema', () => {
  it('accepts the name of a file where a list may come from one', () => {
    const { properties } = configJsonSchema() as JsonSchema
    const { volumesMl } = properties!.simulation!.properties!
    expect(volumesMl!.anyOf).toContainEqual({ type: 'string', minLength: 1 })
    expect(
      JSON.stringify(describedSchema().properties!.simulation!.properties!.volumesMl!.anyOf),
    ).not.toContain('string')
  })

  it('accepts every shipped configuration, and refuses an unknown key and a wrong value', async () => {
    const schema = z.fromJSONSchema(configJsonSchema())
    const folder = fileURLToPath(new URL('../../configs/', import.meta.url))
    for (const name of shippedNames()) {
      const input = parseYaml(await readFile(join(folder, `${name}.yaml`), 'utf8'), name)
      expect([name, schema.safeParse(input).error]).toEqual([name, undefined])
    }
    const minimal = { job: 'baseline', data: { datasets: [{ name: 'BTCV' }] } }
    expect(schema.safeParse({ ...minimal, trainig: {} }).success).toBe(false)
    expect(schema.safeParse({ ...minimal, training: { steps: 0 } }).success).toBe(false)
    expect(schema.safeParse({ ...minimal, simulation: { volumesMl: 'sizes.txt' } }).success).toBe(true)
  })

  it('shows unit, default and source of a key', () => {
    const { properties } = configJsonSchema() as JsonSchema
    expect(properties!.prepare!.properties!.spacingMm!.description).toBe(
      [
        'Voxel size of the prepared grid, along the left-right, front-back and foot-head axes. Smaller voxels show smaller tumors and need more memory and time.',
        '',
        'Unit: mm',
        'Default: [1.5, 1.5, 1.5] (abdomen), [1.25, 1.25, 5] (chest)',
        'Source: published scripts, docs/method.md#4-preparation-crops-and-augmentation',
      ].join('\n'),
    )
  })
})

type DeepPartial<T> = T extends readonly unknown[]
  ? DeepReadonly<T>
  : T extends object
    ? string extends keyof T
      ? DeepReadonly<T>
      : { readonly [K in keyof T]?: DeepPartial<T[K]> | undefined }
    : T
type InputOfSchema = DeepPartial<z.input<typeof runConfigSchema>> & { readonly job: RunConfig['job'] }

describe('ConfigInput', () => {
  it('is what the schema takes', () => {
    // the compiler compares the two: each must be assignable to the other
    const generated = (input: InputOfSchema): ConfigInput => input
    const inferred = (input: ConfigInput): InputOfSchema => input
    const input = { job: 'baseline', data: { datasets: [{ name: 'BTCV' }] } } as const
    expect(inferred(generated(input))).toBe(input)
  })
})

describe('explainKey', () => {
  it('takes a key as --set does, and with [] for an entry', () => {
    const repeat = explainKey('data.datasets[].repeat')
    expect(repeat).toMatchObject({ key: 'data.datasets[].repeat', unit: 'visits per epoch', default: 1 })
    expect(explainKey('data.datasets.0.repeat')).toEqual(repeat)
    expect(explainKey('data.datasets.repeat')).toEqual(repeat)
  })

  it('lists the keys of a section', () => {
    const { keys: below } = explainKey('runtime.restarts')
    expect(below.map(({ key }) => key)).toEqual(['runtime.restarts.max', 'runtime.restarts.backoffSeconds'])
    expect(explainKey('data.datasets').keys).toHaveLength(7)
  })

  it.each([
    ['accumulation', 'training.accumulation'],
    ['training.acumulation', 'training.accumulation'],
    ['prepare.spacing', 'prepare.spacingMm'],
    ['Training.Steps', 'training.steps'],
  ])('names the nearest keys to %s', (name, nearest) => {
    expect(() => explainKey(name)).toThrow(`no configuration key is called ${name}`)
    try {
      explainKey(name)
    } catch (error) {
      expect((error as { hint: string }).hint).toContain(nearest)
    }
  })
})

import { UsageError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { nearestWord } from '../../suggestion.js'
import { cannotBeRead } from '../../system-errors.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import type { ExceededLimit, RealismLimit, RealismMeasure } from './result.js'
import { MEASURE_NAMES, TUMOR_SIZE_CLASSES } from './settings.js'

/** Words that a limit may have. */
const WORDS = {
  measure: [...MEASURE_NAMES, 'copies'],
  organ: ['all', ...Object.values(LABEL_SCHEMES).flatMap(({ organs }) => organs.map(({ name }) => name))],
  size: ['all', ...TUMOR_SIZE_CLASSES.map(({ name }) => name)],
} as const satisfies Record<string, readonly string[]>

/** Return the limit of a word `MEASURE=MAX`. */
export function parseLimit(word: string): RealismLimit {
  const [, measure, max] = /^([A-Za-z]+)=(-?\d+(?:\.\d+)?)$/.exec(word) ?? []
  if (measure === undefined || max === undefined)
    throw new UsageError(`--limit: wrong limit (expected MEASURE=MAX, found ${word})`, {
      hint: 'write, for example, --limit classifierAuc=0.8',
    })
  return knownLimit({ measure, max: Number(max) }, '--limit')
}

/**
 * Read a file of limits: `{"limits": [{"measure": "frechetTumor", "organ": "liver", "max": 4}]}`.
 * @throws UsageError that names file and key
 */
export async function readLimits(file: string): Promise<readonly RealismLimit[]> {
  const content = await readForeignJson(file, {
    unreadable: (code, cause) =>
      new UsageError(cannotBeRead(file, code), { hint: 'correct the path after --limits', cause }),
  })
  const limits = asRecord(content)?.limits
  if (!Array.isArray(limits))
    throw new UsageError(`${file}: no limits (expected a list \`limits\`)`, {
      hint: 'write {"limits": [{"measure": "classifierAuc", "max": 0.8}]}',
    })
  return limits.map((limit, at) => limitOf(asRecord(limit), `${file}: limits.${at}`))
}

function limitOf(limit: Readonly<Record<string, unknown>> | undefined, where: string): RealismLimit {
  const { measure, max, organ = 'all', size = 'all', ...rest } = limit ?? {}
  const unknown = Object.keys(rest)[0]
  const wrong = unknown !== undefined || typeof measure !== 'string' || typeof max !== 'number'
  if (wrong || typeof organ !== 'string' || typeof size !== 'string')
    throw new UsageError(`${where}: wrong limit (expected measure, max, organ and size)`, {
      hint:
        unknown === undefined ? 'write a measure by name and max as a number' : `remove the key ${unknown}`,
    })
  return knownLimit({ measure, max, organ, size }, where)
}

/** @throws UsageError for a word that no figure has: the limit could never hold */
function knownLimit(limit: RealismLimit, where: string): RealismLimit {
  for (const [key, words] of Object.entries(WORDS) as [keyof typeof WORDS, readonly string[]][]) {
    const word = limit[key] ?? 'all'
    if (words.includes(word)) continue
    const near = nearestWord(word, words)
    throw new UsageError(`${where}: unknown ${key} ${word}`, {
      hint: near === undefined ? `write one of ${words.join(', ')}` : `did you mean ${near}?`,
    })
  }
  return limit
}

/** Return the limits that do not hold. A figure that was not measured holds no limit. */
export function exceededLimits(
  limits: readonly RealismLimit[],
  measures: readonly RealismMeasure[],
  copies: number | null,
): ExceededLimit[] {
  return limits.flatMap(({ measure, organ = 'all', size = 'all', max }) => {
    const found = measures.find((one) => one.name === measure && one.organ === organ && one.size === size)
    const value = measure === 'copies' ? copies : (found?.value ?? null)
    return value !== null && value <= max ? [] : [{ measure, organ, size, max, value }]
  })
}

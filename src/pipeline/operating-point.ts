import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError, DataError, UsageError } from '../errors.js'
import { type LesionOperatingPoint, operatingPointSchema } from '../evaluation/operating-point.js'
import { asRecord, parseForeignJson, readForeignJson, readForeignText } from '../foreign-text.js'
import { cannotBeRead } from '../system-errors.js'
import type { OperatingPointSpec } from './ports/cases.js'

/** An operating point file that was read. */
export interface OpenedOperatingPoint {
  readonly file: string
  readonly sha256: string
  readonly point: LesionOperatingPoint
}

const HINT = 'write it with `freetumor calibrate --rate 0.9`'

/**
 * Read an operating point file.
 * @throws ConfigError if it cannot be read, DataError if it is no operating point
 */
export async function readOperatingPoint(file: string): Promise<OpenedOperatingPoint> {
  const text = await readForeignText(file, {
    unreadable: (code, cause) => new ConfigError(cannotBeRead(file, code), { hint: HINT, cause }),
  })
  const parsed = operatingPointSchema.safeParse(parseForeignJson(text, file))
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    const where = issue.path.length > 0 ? ` at ${issue.path.join('.')}` : ''
    throw new DataError(`${file}: not an operating point${where} (${issue.message})`, { hint: HINT })
  }
  return { file, sha256: createHash('sha256').update(text).digest('hex'), point: parsed.data }
}

/**
 * Return a rule for the tumors of a mask, as Python receives it.
 * @throws UsageError if the rule names a tumor id that the mask lacks
 */
export function operatingPointSpec(
  { file, point }: OpenedOperatingPoint,
  tumorIds: readonly number[],
): OperatingPointSpec {
  const { terms, intercept, threshold } = point.rule
  const strange = terms.find(({ feature, label }) => feature === 'label' && !tumorIds.includes(label ?? 0))
  if (strange !== undefined)
    throw new UsageError(
      `${file}: fitted for other ids (expected a tumor id of the mask: ${tumorIds.join(', ')}, found ${strange.label})`,
      { hint: 'predict with the ids of the fit: omit --map' },
    )
  return { tumorIds, terms, intercept, threshold: threshold ?? -Number.MAX_VALUE }
}

/** Settings of a prediction that decide no mask. */
const IRRELEVANT = ['probabilities', 'dataType', 'operatingPoint'] as const
/** Settings without which probabilities and volumes mean something else. */
const DECIDING = ['checkpoints', 'plugin', 'maskIds', 'grid'] as const

/** Return the settings of a prediction that an operating point is fitted for. */
export function fittedSettings(
  settings: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(settings).filter(([key]) => !(IRRELEVANT as readonly string[]).includes(key)),
  )
}

/**
 * Read the settings of a folder of masks; null if it has none.
 * @throws DataError if its prediction.json is damaged
 */
export async function settingsOfMasks(folder: string): Promise<Readonly<Record<string, unknown>> | null> {
  const file = join(folder, 'prediction.json')
  if (!existsSync(file)) return null
  const settings = asRecord(await readForeignJson(file))
  if (settings !== undefined) return settings
  throw new DataError(`${file}: no settings of a prediction (expected an object)`, {
    hint: 'predict the masks again, or remove the file',
  })
}

/**
 * Refuse masks whose lesions were removed already: a further rule would see only those that are left.
 * @throws UsageError
 */
export function refuseAppliedPoint(folder: string, settings: Readonly<Record<string, unknown>> | null): void {
  if (settings?.operatingPoint !== undefined)
    throw new UsageError(`${folder}: an operating point was applied already (expected all lesions)`, {
      hint: 'predict without --operating-point, with --probabilities',
    })
}

/**
 * Compare the settings of masks with those of a fit. Probabilities of another checkpoint, or masks of other ids or
 * another grid, have another meaning: an error. Other settings shift probabilities a little: a warning.
 * @param settings null if the masks do not state them: a warning
 * @param where option or folder, for the messages
 * @throws DataError
 */
export function compareWithFit(
  { file, point }: OpenedOperatingPoint,
  settings: Readonly<Record<string, unknown>> | null,
  where: string,
  warn: (text: string) => void,
): void {
  if (point.prediction === null || settings === null) {
    const unknown = settings === null ? where : file
    warn(`${unknown}: the checkpoint of the masks is not stated, so ${file} may not fit`)
    return
  }
  const [fitted, now] = [fittedSettings(point.prediction), fittedSettings(settings)]
  const differs = (key: string) => JSON.stringify(fitted[key]) !== JSON.stringify(now[key])
  const wrong = DECIDING.find(differs)
  if (wrong !== undefined)
    throw new DataError(
      `${file}: fitted for another prediction (expected ${wrong} ${shown(fitted[wrong])}, found ${shown(now[wrong])} in ${where})`,
      { hint: 'run `freetumor calibrate` on masks of this checkpoint and these settings' },
    )
  const others = [...new Set([...Object.keys(fitted), ...Object.keys(now)])].filter(differs)
  if (others.length > 0)
    warn(`${where}: other settings than those of ${file} (${others.join(', ')}): its figures may not hold`)
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'none'
  return text.length > 120 ? `${text.slice(0, 120)}...` : text
}

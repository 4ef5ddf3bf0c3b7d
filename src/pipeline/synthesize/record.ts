import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '../../errors.js'
import { asRecord, parseForeignJson } from '../../foreign-text.js'
import type { SynthesisLine } from '../../quality/ledger.js'
import { writeWhole } from '../../whole-file.js'
import type { SynthesisSettings } from './settings.js'

/**
 * Write `synthesis.json`. A folder holds the results of one set of settings; a later start may add variants.
 * @param reviews SHA-256 of the review file, if one is used
 * @throws UsageError that names the settings of an earlier start that differ
 */
export async function refuseOtherSettings(
  out: string,
  settings: SynthesisSettings,
  checkpoints: SynthesisLine['checkpoints'],
  contents: RecordedContents,
): Promise<void> {
  const path = join(out, 'synthesis.json')
  const text = `${JSON.stringify(recordedSettings(settings, checkpoints, contents), null, 2)}\n`
  const before = await readFile(path, 'utf8').catch(() => null)
  if (before === null) await writeWhole(path, text)
  else if (before !== text)
    throw new UsageError(`${out}: holds a synthesis with other settings (${differences(before, text)})`, {
      hint: 'choose another --out, or remove the folder',
    })
}

/** SHA-256 of the files that decide verdicts; null without one. */
export interface RecordedContents {
  readonly reviews: string | null
  readonly calibration: string | null
}

/** Return the settings that decide the variants, in the order of the file. */
export function recordedSettings(
  { seed, region, prepare, patchVoxels, simulation, quality, synthesize, ...rest }: SynthesisSettings,
  checkpoints: SynthesisLine['checkpoints'],
  { reviews, calibration }: RecordedContents,
): Record<string, unknown> {
  const { policy, rejectedShare, attempts: _, keepProbability, ...published } = quality
  const { method, shrunkDiameterMm, ...others } = synthesize
  return {
    seed,
    region,
    spacingMm: prepare.spacingMm,
    windowHu: prepare.windowHu,
    patchVoxels,
    simulation,
    // keys that are absent by default: folders of earlier versions can be resumed
    quality: {
      ...published,
      reviews: undefined,
      calibration: undefined,
      ...(policy === 'published' ? {} : { policy, calibration: published.calibration, rejectedShare }),
      ...(keepProbability === 1 ? {} : { keepProbability }),
    },
    synthesize: {
      ...others,
      variants: undefined,
      keepRejected: others.keepRejected || undefined,
      ...(method === 'shrunk' ? { method, shrunkDiameterMm } : {}),
    },
    judgeOverlap: rest.evaluation.overlap,
    channel: rest.generatorChannel,
    checkpoints,
    ...weightSets(rest),
    ...(reviews === null ? {} : { reviews }),
    ...(calibration === null ? {} : { calibration }),
  }
}

/** Return the sets of weights in their files, as far as they are named. */
function weightSets({ generator, baseline }: Pick<SynthesisSettings, 'generator' | 'baseline'>): {
  readonly weights?: Readonly<Record<string, string>>
} {
  const named = Object.entries({ generator: generator?.weights, baseline: baseline?.weights })
  const weights = named.filter((entry): entry is [string, string] => entry[1] != null)
  return weights.length === 0 ? {} : { weights: Object.fromEntries(weights) }
}

/**
 * Keys of the settings that decide a painted tumor. Another rule, baseline, number of variants or attempts paints equal
 * tumors.
 */
export const PAINTING = {
  top: ['seed', 'region', 'spacingMm', 'windowHu', 'patchVoxels', 'simulation', 'channel'],
  synthesize: ['specialist', 'overlap', 'windowBatch'],
  /** Keys of `synthesize` that are absent by default. */
  shrunk: ['method', 'shrunkDiameterMm'],
} as const

/** Return the SHA-256 of the settings that paint tumors, for the marks of the files. */
export function paintingHash(recorded: Readonly<Record<string, unknown>>): string {
  const { synthesize, checkpoints, weights } = recorded
  const { generator, plugins } = checkpoints as SynthesisLine['checkpoints']
  const set = (weights as { readonly generator?: string } | undefined)?.generator
  const painting = [
    ...PAINTING.top.map((key) => recorded[key]),
    ...PAINTING.synthesize.map((key) => (synthesize as Readonly<Record<string, unknown>>)[key]),
    generator,
    plugins?.generator ?? null,
    // absent by default: hashes of earlier versions stay
    ...(set === undefined ? [] : [set]),
    ...PAINTING.shrunk.flatMap((key) => (synthesize as Readonly<Record<string, unknown>>)[key] ?? []),
  ]
  return createHash('sha256').update(JSON.stringify(painting)).digest('hex')
}

function differences(before: string, after: string): string {
  const [old, now] = [before, after].map(settingsIn)
  if (old === null || now === null) return 'its synthesis.json is damaged'
  return [...new Set([...Object.keys(old!), ...Object.keys(now!)])]
    .filter((key) => JSON.stringify(old![key]) !== JSON.stringify(now![key]))
    .join(', ')
}

function settingsIn(text: string): Readonly<Record<string, unknown>> | null {
  try {
    return asRecord(parseForeignJson(text, 'synthesis.json')) ?? null
  } catch {
    return null
  }
}

import { availableParallelism } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { DataError, UsageError } from '../../errors.js'
import { aggregate, byCaseId } from '../../evaluation/aggregate.js'
import { type Comparison, compare } from '../../evaluation/compare.js'
import { type CaseMeasures, parseCaseMeasures } from '../../evaluation/measures.js'
import { PROFILES, type Profile, type ProfileName } from '../../evaluation/profiles.js'
import type { Summary } from '../../evaluation/summary.js'
import { writeEvaluation, writeJson } from '../../evaluation/write.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { makeFolder, makeWritableFolder } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import type { EvaluateSpec } from '../ports/cases.js'
import type { CaseError } from '../ports/common.js'
import { removeOldPage, writeEvaluationPage } from '../report/evaluation.js'
import { conventionWarnings, splitByConvention } from './label-conventions.js'
import { type MaskFiles, pairMasks, patientsOfCases, volumesIn } from './mask-files.js'
import { drawWorstCases } from './pictures.js'

type IdMap = Readonly<Record<string, number>>

export interface EvaluateOptions {
  /** Folder of masks. */
  readonly predictions: string
  /** Folder of labels of the same names, on the same grids in the world. */
  readonly labels: string
  readonly profile: ProfileName
  /** Another folder of masks, compared with the first case by case. */
  readonly against?: string | undefined
  /** Writes summary.json, the tables, report.html there. */
  readonly out?: string | undefined
  /** Whose label ids are measured; default abdomen. */
  readonly region?: Region | undefined
  /** Default those of the region. */
  readonly labelIds?: readonly number[] | undefined
  /** Those of them that are tumors; default as the region says. */
  readonly tumorIds?: readonly number[] | undefined
  /** Id in the masks -> id that is measured; default the same. */
  readonly predictionMap?: IdMap | undefined
  readonly labelMap?: IdMap | undefined
  /** Default those of the profile. */
  readonly nsdTolerancesMm?: readonly number[] | undefined
  readonly lesionIous?: readonly number[] | undefined
  /** Folder of organ masks: predicted tumor outside is taken away. A case without one stays as it is. */
  readonly organs?: string | undefined
  /** Folder of tumor probabilities (0 to 1) on the masks' grids, which lesions are scored by; default their volume. */
  readonly scores?: string | undefined
  /** The same of the masks of `against`. */
  readonly againstScores?: string | undefined
  /** Folder of scans, for the pictures of the report. */
  readonly images?: string | undefined
  /** Manifest, or lines `case,patient`; default every case is a patient of its own. */
  readonly patients?: string | undefined
  /** Worst cases that are pictured; default 6. */
  readonly pictures?: number | undefined
  /** Cases measured at a time; default 2, or 1 on one core. */
  readonly workers?: number | undefined
  /** Of the intervals; default 0. */
  readonly seed?: number | undefined
}

type Failed = readonly { readonly caseId: string; readonly error: CaseError }[]

export interface Evaluation {
  readonly summary: Summary
  readonly cases: readonly CaseMeasures[]
  readonly failed: Failed
  /** Null without `against`. */
  readonly against: { readonly summary: Summary; readonly comparison: Comparison } | null
}

/** One folder of masks, measured. */
interface Measured {
  readonly summary: Summary
  readonly cases: readonly CaseMeasures[]
  readonly failed: Failed
}

/**
 * Compares masks with labels of the same names. A pair that cannot be compared is in `failed`, and named in the summary.
 * @throws UsageError, DataError for folders that cannot be read or do not pair
 */
export async function evaluateMasks(options: EvaluateOptions, context: StageContext): Promise<Evaluation> {
  const profile = profileOf(options)
  const ids = measuredIds(options)
  if (profile.lesions && ids.tumorIds.length === 0)
    throw new UsageError(`profile ${profile.name} compares tumors, but no tumor id is among the labels`, {
      hint: 'name the ids of tumors',
    })
  if (options.againstScores !== undefined && options.against === undefined)
    throw new UsageError('scores of other masks were given, but no other masks', {
      hint: 'give --against too',
    })
  const pairs = await pairMasks(options.predictions, options.labels)
  const otherPairs = options.against === undefined ? null : await pairMasks(options.against, options.labels)
  if (options.out !== undefined) await makeWritableFolder(resolve(options.out))
  const first = await measure(pairs, options.scores, options, profile, context)
  const second = otherPairs && (await measure(otherPairs, options.againstScores, options, profile, context))
  if (second && profile.lesions && (options.scores === undefined) !== (options.againstScores === undefined))
    context.note(
      'AUC and FROC of the two do not compare: lesions of one are scored by probability, of the other by volume (--scores and --against-scores go together)',
      'warning',
    )
  const comparison = second && compareBoth(first, second, options, profile)
  if (options.out !== undefined) {
    const out = resolve(options.out)
    await removeOldPage(out)
    await writeEvaluation(out, first.summary, first.cases, profile)
    if (second !== null && comparison !== null) {
      await makeFolder(join(out, 'against'))
      await writeEvaluation(join(out, 'against'), second.summary, second.cases, profile)
      await writeJson(join(out, 'comparison.json'), comparison)
    }
    await drawWorstCases(first.cases, pairs, { ...options, ...ids, out }, context)
    await writeEvaluationPage(out)
  }
  return {
    ...first,
    failed: [
      ...first.failed,
      ...(second?.failed ?? []).map((one) => ({ ...one, caseId: `against ${one.caseId}` })),
    ],
    against: second && comparison && { summary: second.summary, comparison },
  }
}

/** The ids that are measured. @throws UsageError for a tumor that is not among them */
export function measuredIds({ region = 'abdomen', labelIds, tumorIds }: EvaluateOptions): {
  labelIds: number[]
  tumorIds: number[]
} {
  const scheme = LABEL_SCHEMES[region]
  const labels = [...(labelIds ?? scheme.names.keys())].filter((id) => id > 0)
  const stray = tumorIds?.find((id) => !labels.includes(id))
  if (stray !== undefined)
    throw new UsageError(
      `--tumor-ids names ${stray}, which is not among the label ids ${labels.join(', ')}`,
      { hint: 'name it with --labels-ids too' },
    )
  const tumors = tumorIds ?? scheme.organs.map(({ tumorLabel }) => tumorLabel)
  return { labelIds: labels, tumorIds: tumors.filter((id) => labels.includes(id)) }
}

function profileOf({ profile, nsdTolerancesMm, lesionIous }: EvaluateOptions): Profile {
  const published = PROFILES[profile]
  return {
    ...published,
    nsdTolerancesMm: nsdTolerancesMm ?? published.nsdTolerancesMm,
    lesionIous: lesionIous ?? published.lesionIous,
  }
}

async function measure(
  pairs: readonly MaskFiles[],
  scores: string | undefined,
  options: EvaluateOptions,
  profile: Profile,
  context: StageContext,
): Promise<Measured> {
  const { labelIds, tumorIds } = measuredIds(options)
  const warnings: string[] = []
  const organs = await besides(options.organs, pairs, 'organ mask', warnings)
  const scored = await scoresOf(scores, pairs, options, tumorIds)
  const patients = await patientsOfCases(
    options.patients ?? null,
    pairs.map(({ id }) => id),
  )
  const spec: EvaluateSpec = {
    job: 'evaluate',
    workers: options.workers ?? Math.min(2, availableParallelism()),
    labels: labelIds,
    tumorLabels: tumorIds,
    nsdTolerancesMm: profile.nsdTolerancesMm,
    lesions: profile.lesions,
    spacingMm: profile.spacingMm,
    predictionMap: options.predictionMap ?? null,
    labelMap: options.labelMap ?? null,
    cases: pairs.map((pair) => ({
      ...pair,
      organ: organs.get(pair.id) ?? null,
      scores: scored.get(pair.id) ?? [],
    })),
  }
  const cases: CaseMeasures[] = []
  const failed: { caseId: string; error: CaseError }[] = []
  const { signal, logDirectory } = context
  for await (const outcome of context.runtime.evaluate(spec, { signal, logDirectory })) {
    if ('error' in outcome) failed.push(outcome)
    else cases.push(parseCaseMeasures(outcome.caseId, patients.get(outcome.caseId)!, outcome.result))
  }
  const { fitting, refused } = splitByConvention(byCaseId(cases), options)
  failed.push(...refused)
  warnings.push(...conventionWarnings(fitting, profile))
  for (const text of warnings) context.note(text, 'warning')
  const failedCases = failed.map(({ caseId }) => caseId)
  const seed = options.seed ?? 0
  return { summary: aggregate(fitting, profile, { seed, failedCases, warnings }), cases: fitting, failed }
}

function compareBoth(
  first: Measured,
  second: Measured,
  { predictions, against, seed = 0 }: EvaluateOptions,
  profile: Profile,
): Comparison {
  const names = [basename(resolve(predictions)), basename(resolve(against!))] as const
  return compare(first.cases, second.cases, profile, { seed, names })
}

/**
 * Probabilities of each case: `NAME.nii.gz`, or `NAME_ID.nii.gz` of the tumor ids as `predict --probabilities` writes them.
 * @throws DataError when a case has none: its lesions would be scored by another measure than the others'
 */
async function scoresOf(
  folder: string | undefined,
  pairs: readonly MaskFiles[],
  { predictionMap }: EvaluateOptions,
  tumorIds: readonly number[],
): Promise<Map<string, string[]>> {
  if (folder === undefined) return new Map()
  const files = await volumesIn(folder)
  const names = new Set(pairs.map(({ id }) => id))
  const outputs = Object.entries(predictionMap ?? Object.fromEntries(tumorIds.map((id) => [String(id), id])))
    .filter(([, target]) => tumorIds.includes(target))
    .map(([source]) => source)
  const scores = pairs.map(({ id }): [string, string[]] => {
    const own = files.get(id)
    if (own !== undefined) return [id, [own]]
    const parts = outputs.map((output) => `${id}_${output}`).filter((name) => !names.has(name))
    return [id, parts.flatMap((name) => files.get(name) ?? [])]
  })
  const missing = scores.filter(([, paths]) => paths.length === 0)
  if (missing.length > 0)
    throw new DataError(`${folder} holds no score of ${missing.length} cases, first ${missing[0]![0]}`, {
      hint: `files are NAME.nii.gz, or NAME_ID.nii.gz of the tumor ids ${outputs.join(', ')}`,
    })
  return new Map(scores)
}

/** Files of another folder by case; those that are missing are told. */
async function besides(
  folder: string | undefined,
  pairs: readonly MaskFiles[],
  what: string,
  warnings: string[],
): Promise<Map<string, string>> {
  if (folder === undefined) return new Map()
  const files = await volumesIn(folder)
  const missing = pairs.filter(({ id }) => !files.has(id))
  if (missing.length === pairs.length)
    throw new UsageError(`${folder} holds no ${what} of any case`, { hint: 'files pair by equal names' })
  if (missing.length > 0)
    warnings.push(`${missing.length} cases have no ${what} in ${basename(folder)}, first ${missing[0]!.id}`)
  return files
}

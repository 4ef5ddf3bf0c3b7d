import { basename, dirname, join, resolve } from 'node:path'
import { type LeftOut, leftOutLines } from '../../curation/datasets/file-names.js'
import type { IgnoredIds } from '../../curation/datasets/ignored-ids.js'
import { labelFiles } from '../../curation/datasets/label-files.js'
import { DataError, UsageError } from '../../errors.js'
import { aggregate, byCaseId } from '../../evaluation/aggregate.js'
import { type Comparison, compare } from '../../evaluation/compare.js'
import { type CaseMeasures, parseCaseMeasures } from '../../evaluation/measures.js'
import type { Profile } from '../../evaluation/profiles.js'
import type { Summary } from '../../evaluation/summary.js'
import { writeEvaluation, writeJson } from '../../evaluation/write.js'
import { counted } from '../../plain-text.js'
import { makeFolder, makeWritableFolder } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import type { CaseError } from '../ports/common.js'
import { removeOldPage, writeEvaluationPage } from '../report/evaluation.js'
import { ignoredIdsOfLabels } from './ignored-ids.js'
import {
  conventionWarnings,
  ignoredWarnings,
  splitByConvention,
  unpredictedWarnings,
} from './label-conventions.js'
import {
  filesOfCases,
  type MaskFiles,
  type PairedMasks,
  pairMasks,
  patientsOfCases,
  volumesIn,
} from './mask-files.js'
import { drawWorstCases } from './pictures.js'
import { type EvaluateOptions, evaluateProfile, measuredIds, namesOfIds } from './settings.js'
import { evaluateSpec } from './spec.js'

export type FailedCases = readonly { readonly caseId: string; readonly error: CaseError }[]

export interface Evaluation {
  readonly summary: Summary
  readonly cases: readonly CaseMeasures[]
  readonly failed: FailedCases
  /** Files that look like scans and were not taken. */
  readonly leftOut: readonly LeftOut[]
  /** Null without `against`. */
  readonly against: { readonly summary: Summary; readonly comparison: Comparison } | null
}

/** One folder of masks, measured. */
interface Measured {
  readonly summary: Summary
  readonly cases: readonly CaseMeasures[]
  readonly failed: FailedCases
}

/**
 * Compare masks with labels of the same names. A pair that cannot be compared is in `failed` and in the summary.
 * @throws UsageError, DataError for folders that cannot be read or do not pair
 */
export async function evaluateMasks(options: EvaluateOptions, context: StageContext): Promise<Evaluation> {
  const profile = evaluateProfile(options)
  const ids = measuredIds(options)
  if (profile.lesions && ids.tumorIds.length === 0)
    throw new UsageError(`profile ${profile.name} compares tumors, but no tumor id is among the labels`, {
      hint: 'list the ids of tumors with --tumor-ids',
    })
  if (options.againstScores !== undefined && options.against === undefined)
    throw new UsageError('--against-scores: the masks to compare with are missing', {
      hint: 'pass --against too',
    })
  const { region, partial } = options
  const pairing = { region, partial }
  const masks = await pairMasks(options.predictions, options.labels, pairing)
  const others =
    options.against === undefined ? null : await pairMasks(options.against, options.labels, pairing)
  const leftOut = [...masks.leftOut, ...(others?.leftOut ?? [])]
  for (const note of masks.notes) context.note(note)
  for (const text of leftOutLines(leftOut)) context.note(text, 'warning')
  const ignored = await ignoredIdsOfLabels(
    options,
    masks.pairs.map(({ label }) => label),
  )
  if (options.out !== undefined) await makeWritableFolder(resolve(options.out))
  const rules = { profile, ignored }
  const first = await measure(masks, options.scores, options, rules, context)
  const second = others && (await measure(others, options.againstScores, options, rules, context))
  if (second && profile.lesions && (options.scores === undefined) !== (options.againstScores === undefined))
    context.note(
      'AUC and FROC of the two are not comparable: one scores lesions by probability, the other by volume (pass --scores and --against-scores together)',
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
    const compared = new Set(second?.cases.map(({ caseId }) => caseId))
    const otherMasks = (others?.pairs ?? []).filter(({ id }) => compared.has(id))
    const pictured = { ...options, ...ids, out }
    await drawWorstCases(first.cases, masks.pairs, otherMasks, pictured, ignored.ids, context)
    await writeEvaluationPage(out)
  }
  return {
    ...first,
    leftOut,
    failed: [
      ...first.failed,
      ...(second?.failed ?? []).map((one) => ({ ...one, caseId: `against ${one.caseId}` })),
    ],
    against: second && comparison && { summary: second.summary, comparison },
  }
}

async function measure(
  { pairs, unpredicted }: PairedMasks,
  scores: string | undefined,
  options: EvaluateOptions,
  { profile, ignored }: { readonly profile: Profile; readonly ignored: IgnoredIds },
  context: StageContext,
): Promise<Measured> {
  const ids = measuredIds(options)
  const warnings = unpredictedWarnings(unpredicted, pairs.length)
  const organs = await organMasksOf(options, pairs, warnings)
  const scored = await scoresOf(scores, pairs, options, ids.tumorIds)
  const patients = await patientsOfCases(
    options.patients ?? null,
    pairs.map(({ id }) => id),
  )
  const spec = evaluateSpec(options, { profile, ignoredIds: ignored.ids, ids, pairs, organs, scored })
  const cases: CaseMeasures[] = []
  const failed: { caseId: string; error: CaseError }[] = []
  const { signal, logDirectory } = context
  for await (const outcome of context.runtime.evaluate(spec, { signal, logDirectory })) {
    if ('error' in outcome) failed.push(outcome)
    else cases.push(parseCaseMeasures(outcome.caseId, patients.get(outcome.caseId)!, outcome.result))
  }
  const { fitting, refused } = splitByConvention(byCaseId(cases), options)
  failed.push(...refused)
  warnings.push(...conventionWarnings(fitting, profile), ...ignoredWarnings(fitting, ignored))
  for (const text of warnings) context.note(text, 'warning')
  const failedCases = failed.map(({ caseId }) => caseId)
  const seed = options.seed ?? 0
  const labelNames = namesOfIds(options)
  const figures = aggregate(fitting, profile, { seed, failedCases, warnings })
  return { summary: { ...figures, ...(labelNames && { labelNames }) }, cases: fitting, failed }
}

function compareBoth(
  first: Measured,
  second: Measured,
  { predictions, against, seed = 0 }: EvaluateOptions,
  profile: Profile,
): Comparison {
  const names = distinctNames(resolve(predictions), resolve(against!))
  return compare(first.cases, second.cases, profile, { seed, names })
}

/** Return short names of two folders: their last parts, or the last two if those are equal. */
function distinctNames(first: string, second: string): readonly [string, string] {
  const [a, b] = [basename(first), basename(second)]
  if (a !== b) return [a, b]
  return [join(basename(dirname(first)), a), join(basename(dirname(second)), b)]
}

/**
 * Return the probability files of each case: `NAME.nii.gz`, or `NAME_ID.nii.gz` of the tumor ids, which
 * `predict --probabilities` writes.
 * @throws DataError if a case has none: its lesions would be scored by another measure than those of other cases
 */
async function scoresOf(
  folder: string | undefined,
  pairs: readonly MaskFiles[],
  { predictionMap }: EvaluateOptions,
  tumorIds: readonly number[],
): Promise<Map<string, string[]>> {
  if (folder === undefined) return new Map()
  const all = (await volumesIn(folder)).files
  const names = new Set(pairs.map(({ id }) => id))
  const files = new Map([...all, ...filesOfCases(all, [...names])])
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
    throw new DataError(
      `${folder}: holds no score of ${counted(missing.length, 'case')} (first ${missing[0]![0]})`,
      {
        hint: `name the files NAME.nii.gz, or NAME_ID.nii.gz for the tumor ids ${outputs.join(', ')}`,
      },
    )
  return new Map(scores)
}

/** Return the organ mask of each case that has one; cases without one are a warning. */
async function organMasksOf(
  { organs, region }: EvaluateOptions,
  pairs: readonly MaskFiles[],
  warnings: string[],
): Promise<ReadonlyMap<string, string>> {
  if (organs === undefined) return new Map()
  const { files, notes } = await labelFiles(
    organs,
    pairs.map(({ id }) => id),
    region,
  )
  warnings.push(...notes)
  const missing = pairs.filter(({ id }) => !files.has(id))
  if (missing.length === pairs.length)
    throw new UsageError(`${organs}: holds no organ mask of any case`, {
      hint: 'give the files the names of the cases',
    })
  if (missing.length > 0)
    warnings.push(
      `${counted(missing.length, 'case', ['has', 'have'])} no organ mask in ${basename(organs)}, first ${missing[0]!.id}`,
    )
  return files
}

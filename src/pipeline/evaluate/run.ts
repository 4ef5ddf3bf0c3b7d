import { basename, join, resolve } from 'node:path'
import { type LeftOut, leftOutLines } from '../../curation/datasets/file-names.js'
import type { IgnoredIds } from '../../curation/datasets/ignored-ids.js'
import { labelFiles } from '../../curation/datasets/label-files.js'
import { casesOfShard, type Shard } from '../../curation/datasets/shard.js'
import { UsageError } from '../../errors.js'
import { aggregate, byCaseId } from '../../evaluation/aggregate.js'
import { type Comparison, compare } from '../../evaluation/compare.js'
import { type CaseMeasures, parseCaseMeasures } from '../../evaluation/measures.js'
import type { Profile } from '../../evaluation/profiles.js'
import type { Summary } from '../../evaluation/summary.js'
import { writeEvaluation, writeJson } from '../../evaluation/write.js'
import { counted } from '../../plain-text.js'
import type { Region } from '../../volume/labels.js'
import { makeFolder, makeWritableFolder } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import { operatingPointSpec } from '../operating-point.js'
import type { OperatingPointSpec } from '../ports/cases.js'
import type { CaseError } from '../ports/common.js'
import { removeOldPage, writeEvaluationPage } from '../report/evaluation.js'
import { byCase, lockUnsharded, refuseOtherCases, type WholeShards, workOnShard } from '../shards.js'
import { scansOfCases, writeCaseFiles } from './case-files.js'
import { ignoredIdsOfLabels } from './ignored-ids.js'
import {
  conventionWarnings,
  ignoredWarnings,
  splitByConvention,
  unpredictedWarnings,
} from './label-conventions.js'
import { distinctNames, type MaskFiles, type PairedMasks, pairMasks, patientsOfCases } from './mask-files.js'
import { writeMissedRanges } from './missed-ranges.js'
import { drawWorstCases } from './pictures.js'
import { pointOf, scoresFolder } from './point-of-masks.js'
import { scoresOf } from './score-files.js'
import {
  decidingOptions,
  type EvaluateOptions,
  evaluateProfile,
  measuredIds,
  namesOfIds,
} from './settings.js'
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
  const { out: folder, shard } = options
  const out = folder === undefined ? null : resolve(folder)
  if (shard !== undefined && out === null)
    throw new UsageError('evaluate --shard: no folder for the measures (expected --out)', {
      hint: 'pass --out DIR, the same for every shard',
    })
  const inputs = await inputsOf(options, context)
  if (out !== null) await makeWritableFolder(out)
  if (shard === undefined) {
    await using _lock = out === null ? null : await lockUnsharded(out, context)
    return await concludeEvaluation(options, await measureBoth(options, inputs, context), context)
  }
  const ids = inputs.masks.pairs.map(({ id }) => id)
  const mine = {
    ...inputs,
    masks: ofShard(inputs.masks, shard),
    others: inputs.others && ofShard(inputs.others, shard),
  }
  const sharded = {
    command: 'evaluate',
    directory: out!,
    shard,
    settings: decidingOptions(options),
    ids,
    cases: mine.masks.pairs.map(({ id }) => id),
    inputs: filesRead(mine, options),
  } as const
  return await workOnShard(sharded, context, async () => {
    const part = await measureBoth(options, mine, context)
    context.note('the figures are those of this shard alone')
    const { out: _, ...unwritten } = options
    return { part, result: await concludeEvaluation(unwritten, part, context) }
  })
}

function filesRead(
  { masks, others }: EvaluationInputs,
  { patients, operatingPoint }: EvaluateOptions,
): string[] {
  const rules = operatingPoint === undefined ? [] : [operatingPoint]
  const files = [masks, ...(others === null ? [] : [others])].flatMap(({ pairs, organs, scored }) =>
    pairs.flatMap(({ id, prediction, label }) => [
      ...[prediction, label],
      ...[organs.get(id) ?? []].flat(),
      ...(scored.get(id) ?? []),
    ]),
  )
  return [
    ...new Set(
      [...files, ...(patients === undefined ? [] : [patients]), ...rules].map((file) => resolve(file)),
    ),
  ]
}

/**
 * Compute the figures of all shards together, and write them.
 * @throws DataError if the masks or labels have changed since
 */
export async function mergeEvaluation(
  out: string,
  shards: WholeShards<EvaluateOptions, MeasuredPart>,
  context: StageContext,
): Promise<{ readonly result: Evaluation; readonly region: Region | null }> {
  const { predictions, labels, region, partial } = shards.plan.settings
  const { pairs: now } = await pairMasks(predictions, labels, { region, partial })
  refuseOtherCases(
    out,
    shards,
    now.map(({ id }) => id),
  )
  const parts = shards.records.map(({ part }) => part)
  const all = (raws: readonly RawMeasures[]): RawMeasures => ({
    ...raws[0]!,
    cases: raws.flatMap(({ cases }) => cases),
    failed: raws.flatMap(({ failed }) => failed).sort((a, b) => (a.caseId < b.caseId ? -1 : 1)),
  })
  const inOrder = (pairs: readonly MaskFiles[]): readonly MaskFiles[] => byCase(shards, pairs, ({ id }) => id)
  const pairs = inOrder(parts.flatMap((part) => part.pairs))
  const scored = parts.flatMap((part) => part.scored)
  const otherPairs = inOrder(parts.flatMap((part) => part.otherPairs))
  const seconds = parts.flatMap(({ second }) => second ?? [])
  const merged = { ...parts[0]!, pairs, scored, otherPairs, first: all(parts.map(({ first }) => first)) }
  const options = shards.plan.settings
  const second = seconds.length === 0 ? null : all(seconds)
  const result = await concludeEvaluation(options, { ...merged, second }, context)
  return { result, region: options.labelIds === undefined ? (options.region ?? 'abdomen') : null }
}

/** Files and facts of all cases, before any is measured. */
interface EvaluationInputs {
  readonly masks: PairedMasks & CaseFacts
  /** Null without `against`. */
  readonly others: (PairedMasks & CaseFacts) | null
  readonly ignored: IgnoredIds
  readonly leftOut: readonly LeftOut[]
  /** Null keeps all lesions; it belongs to `masks`. */
  readonly point: { readonly sha256: string; readonly rule: OperatingPointSpec } | null
}

/** Further files of the cases of one folder of masks. */
interface CaseFacts {
  readonly organs: ReadonlyMap<string, string>
  readonly scored: ReadonlyMap<string, readonly string[]>
  readonly patients: ReadonlyMap<string, string>
  readonly warnings: readonly string[]
}

async function inputsOf(options: EvaluateOptions, context: StageContext): Promise<EvaluationInputs> {
  const profile = evaluateProfile(options)
  if (profile.lesions && measuredIds(options).tumorIds.length === 0)
    throw new UsageError(`profile ${profile.name} compares tumors, but no tumor id is among the labels`, {
      hint: 'list the ids of tumors with --tumor-ids',
    })
  if (options.againstScores !== undefined && options.against === undefined)
    throw new UsageError('--against-scores: the masks to compare with are missing', {
      hint: 'pass --against too',
    })
  const { region, partial } = options
  const pairing = { region, partial }
  const point = await pointOf(options, context)
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
  return {
    masks: { ...masks, ...(await factsOf(masks, scoresFolder(options, point), options)) },
    others: others && { ...others, ...(await factsOf(others, options.againstScores, options)) },
    ignored,
    leftOut,
    point: point && { sha256: point.sha256, rule: operatingPointSpec(point, measuredIds(options).tumorIds) },
  }
}

async function factsOf(
  { pairs, unpredicted }: PairedMasks,
  scores: string | undefined,
  options: EvaluateOptions,
): Promise<CaseFacts> {
  const warnings = unpredictedWarnings(unpredicted, pairs.length)
  const organs = await organMasksOf(options, pairs, warnings)
  const scored = await scoresOf(scores, pairs, options, measuredIds(options).tumorIds)
  const patients = await patientsOfCases(
    options.patients ?? null,
    pairs.map(({ id }) => id),
  )
  return { organs, scored, patients, warnings }
}

function ofShard<T extends PairedMasks>(masks: T, shard: Shard): T {
  return { ...masks, pairs: casesOfShard(masks.pairs, shard) }
}

/** Measures of the cases of one folder of masks, and warnings about all of them. */
interface RawMeasures {
  readonly cases: readonly CaseMeasures[]
  readonly failed: FailedCases
  readonly warnings: readonly string[]
}

/** The measures of both folders of masks: the results of a shard for the merge. */
interface MeasuredPart extends Pick<EvaluationInputs, 'ignored' | 'leftOut' | 'point'> {
  readonly pairs: readonly MaskFiles[]
  /** Probability files of each case. */
  readonly scored: readonly (readonly [string, readonly string[]])[]
  /** Those of `against`; empty without it. */
  readonly otherPairs: readonly MaskFiles[]
  readonly first: RawMeasures
  /** Null without `against`. */
  readonly second: RawMeasures | null
}

async function measureBoth(
  options: EvaluateOptions,
  { masks, others, ignored, leftOut, point }: EvaluationInputs,
  context: StageContext,
): Promise<MeasuredPart> {
  const first = await measure(masks, options, { ignored, point }, context)
  // contrasts are of the labels, so once is enough
  const second =
    others && (await measure(others, { ...options, images: undefined }, { ignored, point: null }, context))
  const ofMasks = { pairs: masks.pairs, scored: [...masks.scored] }
  return { ...ofMasks, otherPairs: others?.pairs ?? [], ignored, leftOut, point, first, second }
}

async function measure(
  { pairs, organs, scored, patients, warnings }: PairedMasks & CaseFacts,
  options: EvaluateOptions,
  { ignored, point }: Pick<EvaluationInputs, 'ignored' | 'point'>,
  context: StageContext,
): Promise<RawMeasures> {
  const profile = evaluateProfile(options)
  const ids = measuredIds(options)
  const scans = await scansOfCases(
    options.images,
    pairs.map(({ id }) => id),
  )
  const facts = { ids, pairs, organs, scored, scans, operatingPoint: point?.rule ?? null }
  const spec = evaluateSpec(options, { profile, ignoredIds: ignored.ids, ...facts })
  const cases: CaseMeasures[] = []
  const failed: { caseId: string; error: CaseError }[] = []
  const { signal, logDirectory } = context
  for await (const outcome of context.runtime.evaluate(spec, { signal, logDirectory })) {
    if ('error' in outcome) failed.push(outcome)
    else cases.push(parseCaseMeasures(outcome.caseId, patients.get(outcome.caseId)!, outcome.result))
  }
  return { cases, failed, warnings }
}

/** Compute the figures of measured cases, compare both folders, and write all to `out`. */
async function concludeEvaluation(
  options: EvaluateOptions,
  { pairs, otherPairs, ignored, leftOut, scored, point, ...measured }: MeasuredPart,
  context: StageContext,
): Promise<Evaluation> {
  const profile = evaluateProfile(options)
  const first = summarize(measured.first, options, { profile, ignored, point }, context)
  const second =
    measured.second && summarize(measured.second, options, { profile, ignored, point: null }, context)
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
    await writeMissedRanges(out, first.cases, options, context)
    if (second !== null && comparison !== null) {
      await makeFolder(join(out, 'against'))
      await writeEvaluation(join(out, 'against'), second.summary, second.cases, profile)
      await writeJson(join(out, 'comparison.json'), comparison)
    }
    const ids = measuredIds(options)
    const scans = await scansOfCases(
      options.images,
      pairs.map(({ id }) => id),
    )
    await writeCaseFiles(out, pairs, scans, { ...ids, region: options.region ?? 'abdomen' })
    const compared = new Set(second?.cases.map(({ caseId }) => caseId))
    const otherMasks = otherPairs.filter(({ id }) => compared.has(id))
    const pictured = { ...options, ...ids, out }
    const rules = { ignoredIds: ignored.ids, scored: new Map(scored), operatingPoint: point?.rule ?? null }
    await drawWorstCases(first.cases, pairs, otherMasks, scans, pictured, rules, context)
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

function summarize(
  measured: RawMeasures,
  options: EvaluateOptions,
  { profile, ignored, point }: { readonly profile: Profile } & Pick<EvaluationInputs, 'ignored' | 'point'>,
  context: StageContext,
): Measured {
  const { fitting, refused } = splitByConvention(byCaseId(measured.cases), options)
  const failed = [...measured.failed, ...refused]
  const oneFolder = resolve(options.predictions) === resolve(options.labels)
  const warnings = [
    ...measured.warnings,
    ...conventionWarnings(fitting, profile, { oneFolder }),
    ...ignoredWarnings(fitting, ignored),
  ]
  for (const text of warnings) context.note(text, 'warning')
  const failedCases = failed.map(({ caseId }) => caseId)
  const seed = options.seed ?? 0
  const labelNames = namesOfIds(options)
  const figures = aggregate(fitting, profile, { seed, failedCases, warnings })
  const removedLesions = fitting.reduce((sum, one) => sum + (one.removedLesions ?? 0), 0)
  const rule = point && { operatingPoint: { sha256: point.sha256, removedLesions } }
  return { summary: { ...figures, ...(labelNames && { labelNames }), ...rule }, cases: fitting, failed }
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

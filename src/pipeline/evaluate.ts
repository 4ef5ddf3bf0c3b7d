import { mkdir, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { DataError, UsageError } from '../errors.js'
import { aggregate } from '../evaluation/aggregate.js'
import { PROFILES, type ProfileName } from '../evaluation/profiles.js'
import { type CaseMeasures, parseCaseMeasures, type Summary } from '../evaluation/summary.js'
import { writeEvaluation } from '../evaluation/write.js'
import type { StageContext } from './context.js'
import type { CaseError } from './ports.js'

export interface EvaluateOptions {
  readonly predictions: string
  readonly labels: string
  readonly profile: ProfileName
  /** Writes summary.json, cases.csv, lesions.csv there. */
  readonly out?: string | undefined
  readonly labelIds: readonly number[]
  readonly tumorIds: readonly number[]
  readonly workers: number
  readonly seed: number
}

export interface Evaluation {
  readonly summary: Summary
  readonly cases: readonly CaseMeasures[]
  readonly failed: readonly { readonly caseId: string; readonly error: CaseError }[]
}

/**
 * Compares masks with labels of the same names. A pair that cannot be compared is in `failed`, and named in the summary.
 * @throws UsageError, DataError for folders that cannot be read or do not pair
 */
export async function evaluateMasks(options: EvaluateOptions, context: StageContext): Promise<Evaluation> {
  const profile = PROFILES[options.profile]
  const { labelIds, tumorIds } = options
  if (profile.lesions && tumorIds.length === 0)
    throw new UsageError(`profile ${profile.name} compares tumors, but no tumor id is among the labels`, {
      hint: 'name the ids of tumors',
    })
  const pairs = await pairMasks(options.predictions, options.labels)
  const cases: CaseMeasures[] = []
  const failed: { caseId: string; error: CaseError }[] = []
  const spec = {
    job: 'evaluate' as const,
    workers: options.workers,
    labels: labelIds,
    tumorLabels: tumorIds,
    nsdToleranceMm: profile.nsdToleranceMm,
    lesions: profile.lesions,
    spacingMm: profile.spacingMm,
    cases: pairs,
  }
  for await (const outcome of context.runtime.evaluate(spec, {
    signal: context.signal,
    logDirectory: context.logDirectory,
  })) {
    if ('error' in outcome) failed.push(outcome)
    else cases.push(parseCaseMeasures(outcome.caseId, outcome.result))
  }
  cases.sort((a, b) => (a.caseId < b.caseId ? -1 : 1))
  noteUnmeasured(cases, context)
  const failedCases = failed.map(({ caseId }) => caseId)
  const summary = aggregate(cases, profile, { seed: options.seed, failedCases })
  if (options.out !== undefined) {
    await mkdir(options.out, { recursive: true })
    await writeEvaluation(options.out, summary, cases)
  }
  return { summary, cases, failed }
}

/** An id that nobody asked for may be meant, or tell that mask and label have different schemes. */
function noteUnmeasured(cases: readonly CaseMeasures[], context: StageContext): void {
  const some = cases.filter(({ unmeasuredIds }) => unmeasuredIds.length > 0)
  if (some.length === 0) return
  const ids = [...new Set(some.flatMap(({ unmeasuredIds }) => unmeasuredIds))].sort((a, b) => a - b)
  context.note(
    `ids ${ids.join(', ')} occur in ${some.length} cases (first ${some[0]!.caseId}) and are not measured`,
    'warning',
  )
}

/** Masks and labels by name, `_0000` ignored; a mask without a label, or the reverse, is refused. */
async function pairMasks(
  predictions: string,
  labels: string,
): Promise<{ id: string; prediction: string; label: string }[]> {
  const [made, truth] = await Promise.all([masksOf(predictions), masksOf(labels)])
  const unmatched = [...made.keys()].filter((id) => !truth.has(id))
  const missing = [...truth.keys()].filter((id) => !made.has(id))
  if (made.size === 0) throw new UsageError(`${predictions} holds no .nii or .nii.gz file`)
  if (unmatched.length > 0 || missing.length > 0)
    throw new DataError(
      `masks and labels do not pair: ${unmatched.length} masks without a label (first ${unmatched[0] ?? 'none'}), ${missing.length} labels without a mask (first ${missing[0] ?? 'none'})`,
      { hint: 'files pair by equal names; move the others out of the folders' },
    )
  return [...made].sort().map(([id, prediction]) => ({ id, prediction, label: truth.get(id)! }))
}

async function masksOf(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${folder} cannot be read: ${error.code}`)
  })
  const files = new Map<string, string>()
  for (const name of names.filter((name) => /\.nii(\.gz)?$/.test(name)).sort()) {
    const id = name.replace(/(_0000)?\.nii(\.gz)?$/, '')
    const twin = files.get(id)
    if (twin !== undefined)
      throw new DataError(`${twin} and ${name} are both case ${id}`, { hint: 'move one of them elsewhere' })
    files.set(id, resolve(join(folder, name)))
  }
  return files
}

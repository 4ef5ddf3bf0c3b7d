import { join, resolve } from 'node:path'
import { DataError, UsageError } from '../../errors.js'
import { type CaseMeasures, falsePositives } from '../../evaluation/measures.js'
import { wilsonInterval } from '../../evaluation/wilson.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { counted } from '../../plain-text.js'
import { type Calibration, calibrationSchema } from '../../quality/calibration.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { makingParents, refuseUnwritable, writeWhole } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import { masksIn } from './mask-files.js'
import { evaluateMasks } from './run.js'

type IdMap = Readonly<Record<string, number>>

export interface CalibrateOptions {
  /** Masks of held-out cases, as the segmentor predicts them. */
  readonly predictions: string
  /** Labels of the same names. */
  readonly labels: string
  /** Masks of scans that are known to be healthy; default none. */
  readonly healthy?: string | undefined
  /** The file to write. */
  readonly out: string
  /** Default: abdomen. */
  readonly region?: Region | undefined
  /** Id in the masks -> id of the region; default the same. */
  readonly predictionMap?: IdMap | undefined
  readonly labelMap?: IdMap | undefined
  readonly workers?: number | undefined
}

/** The calibration, and where it was written. */
export interface WrittenCalibration extends Calibration {
  readonly file: string
}

/**
 * Measure a segmentor on held-out real tumors, and on healthy scans, and write the calibration.
 * @throws UsageError without a real tumor, DataError for a case that cannot be measured
 */
export async function calibrateMasks(
  options: CalibrateOptions,
  context: StageContext,
): Promise<WrittenCalibration> {
  const { region = 'abdomen', healthy } = options
  await refuseWrongPaths(options)
  const measured = await measureCases(options, context)
  const realTumors = measured.flatMap((one) => tumorsOf(one, region))
  if (realTumors.length === 0)
    throw new UsageError(`${options.labels}: no real tumor (found ${counted(measured.length, 'case')})`, {
      hint: 'name held-out cases with tumors, or map their ids with --map-labels',
    })
  const calibration: Calibration = {
    format: 'freetumor calibration',
    version: 1,
    segmentor: await segmentorOfMasks(options.predictions),
    realTumors,
    healthy: healthy === undefined ? null : await healthyOf(healthy, options, context),
  }
  const file = resolve(options.out)
  const text = `${JSON.stringify(calibrationSchema.parse(calibration), null, 2)}\n`
  await makingParents(file, () => writeWhole(file, text))
  return { ...calibration, file }
}

/**
 * Check the folders of masks and the output before cases are measured, which may take long.
 * @throws UsageError, EnvironmentError that name the path
 */
export async function refuseWrongPaths({
  predictions,
  healthy,
  out,
}: Pick<CalibrateOptions, 'predictions' | 'healthy' | 'out'>): Promise<void> {
  await masksIn(predictions)
  if (healthy !== undefined) await masksIn(healthy)
  if (healthy !== undefined && resolve(healthy) === resolve(predictions))
    throw new UsageError(`--healthy: the folder of --predictions (expected another one, found ${healthy})`, {
      hint: 'predict the healthy scans into a folder of their own',
    })
  await refuseUnwritable(resolve(out))
}

/** Further settings of the measures of an operating point. */
interface FeatureOptions {
  readonly scores?: string | undefined
  readonly lesionFeatures?: boolean | undefined
}

/**
 * Measure masks against labels.
 * @throws DataError for a case that cannot be measured
 */
export async function measureCases(
  options: Omit<CalibrateOptions, 'out'> & FeatureOptions,
  context: StageContext,
): Promise<readonly CaseMeasures[]> {
  const { predictions, labels, region, predictionMap, labelMap, workers, scores, lesionFeatures } = options
  const maps = { predictionMap, labelMap }
  const { cases, failed } = await evaluateMasks(
    { predictions, labels, profile: 'lesion', region, ...maps, workers, pictures: 0, scores, lesionFeatures },
    context,
  )
  const first = failed[0]
  if (first !== undefined)
    throw new DataError(`case ${first.caseId}: not measured (${first.error.message})`, {
      hint: first.error.hint || 'correct the case, or move it out of the folders',
    })
  return cases
}

/** Return the real tumors of a case, with the fraction of their voxels that is labelled tumor. */
function tumorsOf(
  { caseId, lesions, lesionOverlaps }: CaseMeasures,
  region: Region,
): Calibration['realTumors'] {
  return lesions
    .filter(({ kind }) => kind === 'true')
    .map(({ label, voxels, volumeMl }, at) => {
      const seen = lesionOverlaps.reduce((sum, [lesion, , shared]) => sum + (lesion === at ? shared : 0), 0)
      const organ = LABEL_SCHEMES[region].organs.find(({ tumorLabel }) => tumorLabel === label)!.name
      return { case: caseId, organ, volumeMl, shareSeen: seen / voxels }
    })
}

/** Measure masks of healthy scans: each is compared with itself without its tumors. */
export async function measureHealthy(
  healthy: string,
  options: CalibrateOptions & FeatureOptions,
  context: StageContext,
): Promise<readonly CaseMeasures[]> {
  const { region = 'abdomen', predictionMap } = options
  const { organs, names } = LABEL_SCHEMES[region]
  const organOf = (id: number): number => organs.find(({ tumorLabel }) => tumorLabel === id)?.label ?? id
  const ids = Object.entries(predictionMap ?? Object.fromEntries(names.map((_, id) => [String(id), id])))
  const labelMap = Object.fromEntries(ids.map(([id, target]) => [id, organOf(target)]))
  return await measureCases({ ...options, predictions: healthy, labels: healthy, labelMap }, context)
}

/** Count the false positives of masks of healthy scans. */
async function healthyOf(
  healthy: string,
  options: CalibrateOptions,
  context: StageContext,
): Promise<NonNullable<Calibration['healthy']>> {
  const { organs } = LABEL_SCHEMES[options.region ?? 'abdomen']
  const cases = await measureHealthy(healthy, options, context)
  const silent = cases.filter((one) => falsePositives(one).length === 0).length
  const mean = (of: (one: CaseMeasures) => number): number =>
    cases.reduce((sum, one) => sum + of(one), 0) / cases.length
  const voxels = (id: number, part: (label: CaseMeasures['labels'][number]) => number): number =>
    cases.reduce((sum, { labels }) => sum + part(labels.find(({ label }) => label === id)!), 0)
  return {
    scans: cases.length,
    lesionFree: {
      successes: silent,
      of: cases.length,
      rate: silent / cases.length,
      ci: [...wilsonInterval(silent, cases.length)],
    },
    falsePositivesPerScan: mean((one) => falsePositives(one).length),
    falsePositiveMlPerScan: mean((one) =>
      falsePositives(one).reduce((sum, { volumeMl }) => sum + volumeMl, 0),
    ),
    seenShare: Object.fromEntries(
      organs.flatMap(({ name, label, tumorLabel }) => {
        const all = voxels(label, (one) => one.truePositive + one.falseNegative)
        return all === 0 ? [] : [[name, voxels(tumorLabel, (one) => one.falsePositive) / all]]
      }),
    ),
  }
}

/** Return the SHA-256 of the checkpoint that predicted the masks; null if they do not state a single one. */
async function segmentorOfMasks(predictions: string): Promise<string | null> {
  const record = await readForeignJson(join(predictions, 'prediction.json')).catch(() => null)
  const members = asRecord(record)?.checkpoints
  const sha256 = Array.isArray(members) && members.length === 1 ? asRecord(members[0])?.sha256 : null
  return typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256) ? sha256 : null
}

import { join } from 'node:path'
import { FreetumorError, StoppedError } from '../../errors.js'
import type { CaseMeasures } from '../../evaluation/measures.js'
import { worstFirst } from '../../evaluation/worst.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { makeFolder } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import type { PictureSpec } from '../ports/cases.js'
import { pictureName } from '../report/evaluation.js'
import { type MaskFiles, volumesIn } from './mask-files.js'

const PICTURED = 6
const WINDOWS_HU = { abdomen: [-175, 250], chest: [-1000, 500] } as const

type IdMap = Readonly<Record<string, number>>

/** Those of an evaluation that its pictures depend on. */
export interface PictureOptions {
  /** Of the evaluation; the pictures go to `pictures/` in it. */
  readonly out: string
  readonly tumorIds: readonly number[]
  readonly region?: Region | undefined
  readonly predictionMap?: IdMap | undefined
  readonly labelMap?: IdMap | undefined
  /** Folders of organ masks and of scans. */
  readonly organs?: string | undefined
  readonly images?: string | undefined
  readonly pictures?: number | undefined
  readonly workers?: number | undefined
}

/** Writes three planes of the worst cases to `pictures/`; what cannot be drawn is a note, for the figures stand. */
export async function drawWorstCases(
  cases: readonly CaseMeasures[],
  pairs: readonly MaskFiles[],
  options: PictureOptions,
  context: StageContext,
): Promise<void> {
  const worst = worstFirst(cases).slice(0, options.pictures ?? PICTURED)
  if (worst.length === 0) return
  const files = async (folder: string | undefined): Promise<Map<string, string>> =>
    folder === undefined ? new Map() : await volumesIn(folder)
  const [images, organs] = [await files(options.images), await files(options.organs)]
  const folder = join(options.out, 'pictures')
  await makeFolder(folder)
  const byId = new Map(pairs.map((pair) => [pair.id, pair]))
  const spec: PictureSpec = {
    job: 'picture',
    workers: Math.min(options.workers ?? 1, worst.length),
    tumorLabels: options.tumorIds.length > 0 ? options.tumorIds : worst[0]!.labels.map(({ label }) => label),
    windowHu: WINDOWS_HU[LABEL_SCHEMES[options.region ?? 'abdomen'].region],
    predictionMap: options.predictionMap ?? null,
    labelMap: options.labelMap ?? null,
    cases: worst.map(({ caseId }, at) => ({
      ...byId.get(caseId)!,
      image: images.get(caseId) ?? null,
      organ: organs.get(caseId) ?? null,
      output: join(folder, pictureName(at)),
    })),
  }
  const { signal, logDirectory } = context
  try {
    for await (const outcome of context.runtime.picture(spec, { signal, logDirectory }))
      if ('error' in outcome)
        context.note(`no picture of ${outcome.caseId}: ${outcome.error.message}`, 'warning')
  } catch (error) {
    if (!(error instanceof FreetumorError) || error instanceof StoppedError) throw error
    context.note(`the pictures of the worst cases could not be drawn: ${error.message}`, 'warning')
  }
}

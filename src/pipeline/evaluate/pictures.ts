import { join } from 'node:path'
import { labelFiles } from '../../curation/datasets/label-files.js'
import { FreetumorError, StoppedError } from '../../errors.js'
import type { CaseMeasures } from '../../evaluation/measures.js'
import { worstFirst } from '../../evaluation/worst.js'
import { makeFolder } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import type { OperatingPointSpec } from '../ports/cases.js'
import { pictureName } from '../report/evaluation.js'
import type { MaskFiles } from './mask-files.js'
import type { PictureOptions } from './settings.js'
import { pictureSpec } from './spec.js'

const PICTURED = 6

/** Rules that change masks before they are drawn. */
export interface PictureRules {
  readonly ignoredIds: readonly number[]
  /** Probability files of each case, for the operating point. */
  readonly scored: ReadonlyMap<string, readonly string[]>
  readonly operatingPoint: OperatingPointSpec | null
}

/**
 * Write three planes and a whole slice of the worst cases to `pictures/`, with the masks of `others` if there are any.
 * A failed picture is only noted: the figures stay valid.
 */
export async function drawWorstCases(
  cases: readonly CaseMeasures[],
  pairs: readonly MaskFiles[],
  others: readonly MaskFiles[],
  scans: ReadonlyMap<string, string>,
  options: PictureOptions,
  { ignoredIds, scored, operatingPoint }: PictureRules,
  context: StageContext,
): Promise<void> {
  const worst = worstFirst(cases).slice(0, options.pictures ?? PICTURED)
  if (worst.length === 0) return
  const ids = pairs.map(({ id }) => id)
  const organs = (await labelFiles(options.organs, ids, options.region)).files
  const folder = join(options.out, 'pictures')
  await makeFolder(folder)
  const byId = new Map(pairs.map((pair) => [pair.id, pair]))
  const otherMasks = new Map(others.map(({ id, prediction }) => [id, prediction]))
  const spec = pictureSpec(
    options,
    ignoredIds,
    worst.map((one, at) => ({
      measured: one,
      files: byId.get(one.caseId)!,
      against: otherMasks.get(one.caseId) ?? null,
      image: scans.get(one.caseId) ?? null,
      organ: organs.get(one.caseId) ?? null,
      output: join(folder, pictureName(at)),
      scores: scored.get(one.caseId) ?? [],
    })),
    operatingPoint,
  )
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

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { CaseMeasures } from '../../evaluation/measures.js'
import { missedRanges } from '../../evaluation/missed-sizes.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import { writeWhole } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import type { EvaluateOptions } from './settings.js'

/** Cases that the note on unknown contrasts names. */
const MAX_NAMES = 5

/** Return true if the file for `simulation.curriculum` is wanted: not if the ids may be those of another convention. */
export function writesMissedRanges({ out, labelIds }: EvaluateOptions): boolean {
  return out !== undefined && labelIds === undefined
}

/** Return the id of the organ of each tumor id of the region. */
export function organOfTumor({ region = 'abdomen' }: EvaluateOptions): Readonly<Record<string, number>> {
  return Object.fromEntries(LABEL_SCHEMES[region].organs.map(({ label, tumorLabel }) => [tumorLabel, label]))
}

/** Write the file that `simulation.curriculum` names; none without true lesions. */
export async function writeMissedRanges(
  out: string,
  cases: readonly CaseMeasures[],
  options: EvaluateOptions,
  context: StageContext,
): Promise<void> {
  const { region = 'abdomen', images } = options
  const file = join(out, 'missed-sizes.jsonl')
  const ranges = writesMissedRanges(options) ? missedRanges(cases, LABEL_SCHEMES[region].organs) : []
  if (ranges.length === 0) return await rm(file, { force: true })
  await writeWhole(file, ranges.map((one) => `${JSON.stringify(one)}\n`).join(''))
  const trueLesions = ({ lesions }: CaseMeasures) => lesions.filter(({ kind }) => kind === 'true')
  const unknownOf = (one: CaseMeasures) =>
    trueLesions(one).filter(({ contrastHu }) => contrastHu === undefined).length
  const names = cases.filter((one) => unknownOf(one) > 0).map(({ caseId }) => caseId)
  const unknown = cases.reduce((sum, one) => sum + unknownOf(one), 0)
  const all = cases.reduce((sum, one) => sum + trueLesions(one).length, 0)
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : ''
  if (images !== undefined && unknown > 0)
    context.note(
      `contrast of ${unknown} of ${all} true lesions: unknown (no readable scan on the grid of the label, or no organ around them) in ${names.slice(0, MAX_NAMES).join(', ')}${more}`,
      'warning',
    )
}

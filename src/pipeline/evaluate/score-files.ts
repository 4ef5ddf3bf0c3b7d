import { DataError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { filesOfCases, type MaskFiles, volumesIn } from './mask-files.js'
import type { EvaluateOptions } from './settings.js'

/**
 * Return the probability files of each case: `NAME.nii.gz`, or `NAME_ID.nii.gz` of the tumor ids, which
 * `predict --probabilities` writes.
 * @throws DataError if a case has none: its lesions would be scored by another measure than those of other cases
 */
export async function scoresOf(
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

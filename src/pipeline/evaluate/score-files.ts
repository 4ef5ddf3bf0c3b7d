import { basename, dirname, resolve } from 'node:path'
import { DataError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { settingsOfMasks } from '../operating-point.js'
import { filesOfCases, type MaskFiles, volumesIn } from './mask-files.js'
import type { EvaluateOptions } from './settings.js'

/**
 * Return the probability files of each case: `NAME.nii.gz`, or `NAME_OUTPUT.nii.gz` of the tumor outputs, which
 * `predict --probabilities` writes.
 * @throws DataError if a case lacks one: its lesions would be scored by another measure than those of other cases
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
  const targetOf = (id: number): number | undefined =>
    predictionMap === undefined ? id : predictionMap[String(id)]
  const recorded = await tumorOutputs(folder, (id) => tumorIds.includes(targetOf(id) ?? 0))
  const outputs =
    recorded ??
    (predictionMap === undefined ? tumorIds.map(String) : Object.keys(predictionMap)).filter((id) =>
      tumorIds.includes(targetOf(Number(id)) ?? 0),
    )
  const scores = pairs.map(({ id }): [string, string[], boolean] => {
    const own = files.get(id)
    if (own !== undefined) return [id, [own], true]
    const parts = outputs.map((output) => `${id}_${output}`).filter((name) => !names.has(name))
    const found = parts.flatMap((name) => files.get(name) ?? [])
    // without a record, a segmentor may lack tumors of the region
    return [id, found, found.length > 0 && (recorded === null || found.length === outputs.length)]
  })
  const missing = scores.filter(([, , isWhole]) => !isWhole)
  if (missing.length > 0)
    throw new DataError(
      `${folder}: holds no score of ${counted(missing.length, 'case')} (first ${missing[0]![0]})`,
      {
        hint:
          recorded === null
            ? `name the files NAME.nii.gz, or NAME_ID.nii.gz for the tumor ids ${outputs.join(', ')}`
            : `predict with --probabilities ${outputs.join(',')}, which are the tumors of the masks`,
      },
    )
  return new Map(scores.map(([id, paths]) => [id, paths]))
}

/** Return the outputs with a tumor id, as the record of the masks states them; null without a record. */
async function tumorOutputs(
  folder: string,
  isTumor: (maskId: number) => boolean,
): Promise<readonly string[] | null> {
  const path = resolve(folder)
  const settings = basename(path) === 'probabilities' ? await settingsOfMasks(dirname(path)) : null
  const maskIds = settings?.maskIds
  if (!Array.isArray(maskIds)) return null
  return maskIds.flatMap((id, output) => (isTumor(Number(id)) ? [String(output)] : []))
}

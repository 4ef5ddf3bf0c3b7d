import type { PredictSettings } from '../config/predict-settings.js'
import { UsageError } from '../errors.js'
import { isIgnoredName, labelIdOf, labelNameHint, type Region } from '../volume/labels.js'

/**
 * Return the label ids of a flag, such as `1,2` or `liver,liver-tumor`.
 * @param region null: names of all regions are accepted
 * @throws UsageError for an unknown name, an id of 0, or an id that occurs twice
 */
export function labelIds(flag: string, text: string, region: Region | null): number[] {
  const ids = text.split(',').map((part) => labelId(flag, part.trim(), region))
  if (new Set(ids).size < ids.length)
    throw new UsageError(`${flag}: an id occurs twice (found ${text})`, { hint: 'write each id once' })
  return ids
}

/**
 * Return the label id that a flag names by number or by name.
 * @throws UsageError
 */
export function labelId(flag: string, text: string, region: Region | null): number {
  const id = /^\d{1,5}$/.test(text) ? Number(text) : labelIdOf(text, region)
  if (id === undefined || id < 1 || isIgnoredName(text))
    throw new UsageError(`${flag}: unknown label (expected an id above 0 or a name, found ${text})`, {
      hint: labelNameHint(text, region),
    })
  return id
}

/**
 * Return the outputs of a checkpoint that `--probabilities` names by number or by name. The checkpoint decides which exist.
 * @throws UsageError for a name of no label
 */
export function outputNames(text: string): readonly (number | string)[] {
  return text.split(',').map((part) => outputName('--probabilities', part.trim()))
}

/**
 * Return the map from outputs to ids of a mask: `leaderboard`, `region` or `output:id,...`. Both may be names.
 * @throws UsageError
 */
export function outputMap(text: string, region: Region | null): PredictSettings['map'] {
  if (text === 'leaderboard') return 'leaderboard'
  if (text === 'region') return null
  const map: Record<string, number> = {}
  for (const pair of text.split(',')) {
    const [, output, target] = /^\s*([\w -]+):([\w -]+)$/.exec(pair) ?? []
    if (output === undefined || target === undefined)
      throw new UsageError(`--map: invalid pair "${pair}" (expected output:id)`, {
        hint: 'write `leaderboard`, `region`, or pairs such as 2:1,liver-tumor:1',
      })
    const key = outputName('--map', output)
    if (map[key] !== undefined)
      throw new UsageError(`--map: output ${output} has two ids`, { hint: 'give each output one id' })
    map[key] = /^0+$/.test(target.trim()) ? 0 : labelId('--map', target.trim(), region)
  }
  return map
}

function outputName(flag: string, text: string): number | string {
  if (/^\d{1,5}$/.test(text)) return Number(text)
  if (labelIdOf(text, null) !== undefined && !isIgnoredName(text)) return text
  throw new UsageError(`${flag}: unknown output (expected a number or a name, found ${text})`, {
    hint: labelNameHint(text, null),
  })
}

import { DataError, UsageError } from '../../errors.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import type { LabelMap, Volume } from '../../volume/volume.js'
import { findPreset } from './presets.js'
import type { KidneySides, LabelIdMap } from './registry.js'

export interface RemapRow {
  readonly source: number
  readonly target: number
  readonly voxels: number
}

export interface Remapped {
  readonly label: LabelMap
  /** One row a source id that occurs, in order. */
  readonly before: readonly RemapRow[]
  /** Voxels of each target id that occurs, in order. */
  readonly after: readonly { readonly id: number; readonly voxels: number }[]
}

/**
 * A map given in words: a preset's name, or pairs as in `1:1,2:2,3:1`. Ids that are not named are refused later, when
 * they occur; 0 stays 0 unless the map says otherwise.
 * @throws UsageError for a pair that cannot be read or an id that is given two targets
 */
export function parseMap(text: string, region: Region | null = null): LabelIdMap {
  if (!text.includes(':')) return findPreset(text, region).map
  const map: Record<string, number> = {}
  for (const pair of text.split(',')) {
    const match = /^\s*(\d{1,5}):(\d{1,3})\s*$/.exec(pair)
    if (!match || Number(match[2]) > 255)
      throw new UsageError(`the pair "${pair}" cannot be read`, {
        hint: 'write source:target, targets 0 to 255, as in 1:1,2:2,3:1',
      })
    const [source, target] = [String(Number(match[1])), Number(match[2])]
    if (map[source] !== undefined && map[source] !== target)
      throw new UsageError(`id ${source} is mapped to ${map[source]} and to ${target}`, {
        hint: 'give each id one target',
      })
    map[source] = target
  }
  return map
}

/** As `parseMap`, with the ids of the two kidneys where a preset tells them apart: what the flag `--map` says of labels. */
export function toldMap(
  text: string | undefined,
  region: Region | null = null,
): { labelMap?: LabelIdMap; kidneySides?: KidneySides | undefined } {
  if (text === undefined) return {}
  const labelMap = parseMap(text, region)
  return text.includes(':') ? { labelMap } : { labelMap, kidneySides: findPreset(text, region).kidneySides }
}

/**
 * Gives every voxel the id that the map has for its own.
 * @param file named in errors
 * @param region when given, targets must be ids of its scheme
 * @throws DataError for an id outside the map, a value that is no id, or a target outside the scheme
 */
export function remapLabels(label: Volume, map: LabelIdMap, file: string, region?: Region): Remapped {
  const counts = countLabelIds(label, file)
  return remapCounted(label, counts, map, file, new Uint8Array(label.data.length), region)
}

/**
 * As `remapLabels`, with the ids counted already.
 * @param into where the ids go; it may be the memory of `label`
 */
export function remapCounted(
  label: Volume,
  counts: ReadonlyMap<number, number>,
  map: LabelIdMap,
  file: string,
  into: Uint8Array,
  region?: Region,
): Remapped {
  const targets = targetsOf(map, file, region)
  const unknown = [...counts.keys()].filter((id) => !targets.has(id)).sort((a, b) => a - b)
  if (unknown.length > 0)
    throw new DataError(
      `${file}: label ids ${unknown.slice(0, 10).join(', ')} are not in the map, which knows ${[...targets.keys()].join(', ')}`,
      {
        hint: 'add them to the map (to 0 where they are background) or correct the file',
        facts: { file, ids: unknown },
      },
    )
  let [id, target] = [0, targets.get(0)!]
  const { data } = label
  for (let n = 0; n < data.length; n++) {
    const value = data[n]!
    if (value !== id) {
      id = value
      target = targets.get(id)!
    }
    into[n] = target
  }
  const before = [...counts.keys()]
    .sort((a, b) => a - b)
    .map((source) => ({ source, target: targets.get(source)!, voxels: counts.get(source)! }))
  return { label: { data: into, shape: label.shape, affine: label.affine }, before, after: totals(before) }
}

function targetsOf(map: LabelIdMap, file: string, region: Region | undefined): Map<number, number> {
  const last = region ? LABEL_SCHEMES[region].names.length - 1 : 255
  const targets = new Map<number, number>([[0, 0]])
  for (const [source, target] of Object.entries(map)) {
    if (!Number.isInteger(target) || target < 0 || target > last)
      throw new DataError(`${file}: its map sends ${source} to ${target}, ids 0 to ${last} exist`, {
        hint: 'correct the map',
      })
    targets.set(Number(source), target)
  }
  return targets
}

/** Voxels of each id that occurs. @throws DataError for a value that is no id */
export function countLabelIds(label: Volume, file: string): Map<number, number> {
  const counts = new Map<number, number>()
  const { data } = label
  let [id, start] = [data[0] ?? 0, 0]
  // Labels come in long runs of one id.
  for (let n = 0; n < data.length; n++) {
    const value = data[n]!
    if (value === id) continue
    counts.set(id, (counts.get(id) ?? 0) + n - start)
    id = value
    start = n
  }
  counts.set(id, (counts.get(id) ?? 0) + data.length - start)
  const wrong = [...counts.keys()].find((value) => !Number.isInteger(value) || value < 0)
  if (wrong !== undefined)
    throw new DataError(`${file}: holds the value ${wrong}, which is no label id`, {
      hint: 'was it resampled with interpolation? Take the original label',
      facts: { file },
    })
  return counts
}

function totals(rows: readonly RemapRow[]): { id: number; voxels: number }[] {
  const sums = new Map<number, number>()
  for (const { target, voxels } of rows) sums.set(target, (sums.get(target) ?? 0) + voxels)
  return [...sums].sort(([a], [b]) => a - b).map(([id, voxels]) => ({ id, voxels }))
}

import { DataError, UsageError } from '../../errors.js'
import { IGNORED_LABEL, LABEL_SCHEMES, labelIdOf, labelNameHint, type Region } from '../../volume/labels.js'
import type { LabelMap, Volume } from '../../volume/volume.js'
import { findPreset } from './presets.js'
import type { KidneySides, LabelIdMap } from './registry.js'

/** Distance from an integer that rounding in a file format explains; interpolation gives others, too. */
const NEAR_ID = 0.05

export interface RemapRow {
  readonly source: number
  readonly target: number
  readonly voxels: number
}

export interface Remapped {
  readonly label: LabelMap
  /** One row per source id that occurs, sorted. */
  readonly before: readonly RemapRow[]
  /** Voxels of each target id that occurs, sorted. */
  readonly after: readonly { readonly id: number; readonly voxels: number }[]
}

/**
 * Parse a map: the name of a preset, or pairs such as `1:1,2:2,3:1`. A target may be a name of the region,
 * such as `liver` or `liver-tumor`, or `ignore`. Ids without a pair are refused later, when they occur; 0 stays 0 unless
 * the map changes it.
 * @throws UsageError for an invalid pair, or an id with two targets
 */
export function parseMap(text: string, region: Region | null = null): LabelIdMap {
  if (!text.includes(':')) return findPreset(text, region).map
  const map: Record<string, number> = {}
  for (const pair of text.split(',')) {
    const [, id, name] = /^\s*(\d{1,5}):([\w -]+)$/.exec(pair) ?? []
    const target = name === undefined ? undefined : idOf(name, region)
    if (id === undefined || target === undefined || target > 255)
      throw new UsageError(`map: invalid pair "${pair}" (expected source:target)`, {
        hint: isName(name)
          ? labelNameHint(name, region, ['ignore'])
          : 'write targets as 0 to 255 or as names of the region, as in 1:liver,2:liver-tumor,3:ignore',
      })
    const source = String(Number(id))
    if (map[source] !== undefined && map[source] !== target)
      throw new UsageError(`map: id ${source} has two targets (${map[source]} and ${target})`, {
        hint: 'give each id one target',
      })
    map[source] = target
  }
  return map
}

function idOf(name: string, region: Region | null): number | undefined {
  return isName(name) ? labelIdOf(name, region) : Number(name)
}

function isName(target: string | undefined): target is string {
  return target !== undefined && !/^\s*\d+\s*$/.test(target)
}

/**
 * Parse a map as `parseMap` does, with the ids of the two kidneys if a preset separates them: the flag
 * `--map`.
 */
export function labelMapOption(
  text: string | undefined,
  region: Region | null = null,
): { labelMap?: LabelIdMap; kidneySides?: KidneySides | undefined } {
  if (text === undefined) return {}
  const labelMap = parseMap(text, region)
  return text.includes(':') ? { labelMap } : { labelMap, kidneySides: findPreset(text, region).kidneySides }
}

/**
 * Replace every id by its target.
 * @param file named in errors
 * @param region if given, targets must be ids of this region, or `IGNORED_LABEL`
 * @param rest target of ids outside the map; undefined: they are refused
 * @throws DataError for an id outside the map, a value that is no id, or a target outside the region
 */
export function remapLabels(
  label: Volume,
  map: LabelIdMap,
  file: string,
  region?: Region,
  rest?: number,
): Remapped {
  const counts = countLabelIds(label, file)
  const whole = rest === undefined ? map : withRest(map, counts, rest)
  return remapCounted(label, counts, whole, file, new Uint8Array(label.data.length), region)
}

/** Return the map with all other ids that occur, but 0. */
function withRest(map: LabelIdMap, counts: ReadonlyMap<number, number>, rest: number): LabelIdMap {
  const others = [...counts.keys()].filter((id) => id !== 0 && map[String(id)] === undefined)
  return { ...map, ...Object.fromEntries(others.map((id) => [String(id), rest])) }
}

/**
 * Replace ids as `remapLabels` does, with the ids counted already.
 * @param into memory of the new ids; it may be the memory of `label`
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
      `${file}: unknown label ids (expected ${[...targets.keys()].join(', ')}, found ${unknown.slice(0, 10).join(', ')})`,
      {
        hint: 'add the ids to the map (0 for background), or correct the file',
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
  const last = region ? LABEL_SCHEMES[region].names.length - 1 : IGNORED_LABEL
  const targets = new Map<number, number>([[0, 0]])
  for (const [source, target] of Object.entries(map)) {
    if (!Number.isInteger(target) || target < 0 || (target > last && target !== IGNORED_LABEL))
      throw new DataError(
        `${file}: wrong target of id ${source} (expected 0 to ${last}, or ${IGNORED_LABEL} to ignore, found ${target})`,
        { hint: 'correct the map' },
      )
    targets.set(Number(source), target)
  }
  return targets
}

/**
 * Count the voxels of each id that occurs.
 * @throws DataError for a value that is no id
 */
export function countLabelIds(label: Volume, file: string): Map<number, number> {
  const counts = new Map<number, number>()
  const { data } = label
  let [id, start] = [data[0] ?? 0, 0]
  // labels come in long runs of one id
  for (let n = 0; n < data.length; n++) {
    const value = data[n]!
    if (value === id) continue
    counts.set(id, (counts.get(id) ?? 0) + n - start)
    id = value
    start = n
  }
  counts.set(id, (counts.get(id) ?? 0) + data.length - start)
  refuseWrongValues([...counts.keys()], file)
  return counts
}

/** Return the label with values that are nearly integers rounded; others stay, and are refused when they are counted. */
export function roundNearIds(label: Volume): Volume {
  return { ...label, data: label.data.map((value) => (isNearId(value) ? Math.round(value) : value)) }
}

function isNearId(value: number): boolean {
  return Math.abs(value - Math.round(value)) <= NEAR_ID
}

/**
 * Refuse values that are no ids, and name the cause.
 * `refuse_wrong_values` of freetumor_runtime/data/label_ids.py has the same words.
 */
function refuseWrongValues(values: readonly number[], file: string): void {
  const wrong = values.filter((value) => !Number.isInteger(value) || value < 0)
  if (wrong.length === 0) return
  const found = causeOf(wrong, values)
  const shown = Number(found.value.toPrecision(7))
  throw new DataError(
    `${file}: wrong label value (expected integers of at least 0, found ${shown}: ${found.cause})`,
    { hint: found.remedy, facts: { file } },
  )
}

function causeOf(
  wrong: readonly number[],
  values: readonly number[],
): { readonly value: number; readonly cause: string; readonly remedy: string } {
  const absent = wrong.find((value) => !Number.isFinite(value))
  if (absent !== undefined)
    return { value: absent, cause: 'not a number', remedy: 'write 0, or an id of its own, in these voxels' }
  const negative = wrong.find(Number.isInteger)
  if (negative !== undefined)
    return {
      value: negative,
      cause: 'a negative id',
      remedy: 'replace it, for instance by an id that is mapped to ignore',
    }
  const value = wrong[0]!
  if (wrong.every(isNearId))
    return {
      value,
      cause: 'nearly an integer',
      remedy: 'round the values with `freetumor data remap --round`',
    }
  const least = Math.min(...values.filter((one) => one !== 0).map(Math.abs))
  // a mixture of two ids is rarely a multiple of the smallest mixture above 1
  if (least > 1 && values.every((one) => Math.abs(one / least - Math.round(one / least)) < 1e-3))
    return {
      value,
      cause: `ids times ${Number(least.toPrecision(4))}`,
      remedy: 'correct scl_slope in the header, or use the original label',
    }
  return {
    value,
    cause: 'a fraction',
    remedy: 'use the original label: this one was resampled with interpolation, or has probabilities',
  }
}

function totals(rows: readonly RemapRow[]): { id: number; voxels: number }[] {
  const sums = new Map<number, number>()
  for (const { target, voxels } of rows) sums.set(target, (sums.get(target) ?? 0) + voxels)
  return [...sums].sort(([a], [b]) => a - b).map(([id, voxels]) => ({ id, voxels }))
}

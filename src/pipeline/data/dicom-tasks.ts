import type { Pseudonyms } from '../../curation/dicom/pseudonyms.js'
import {
  labelsOfSegments,
  refuseUnmet,
  regionOfSegments,
  type SegmentRule,
} from '../../curation/dicom/segments.js'
import { chooseByRule, labelObjectsOf, type ScannedSeries } from '../../curation/dicom/series.js'
import { DataError, UsageError } from '../../errors.js'
import type { Region } from '../../volume/labels.js'

/** A CT series to convert, and the label object on its grid. */
export interface DicomTask {
  /** Id of the case. */
  readonly id: string
  readonly ct: ScannedSeries
  /** RTSTRUCT or SEG of the series; null without one. */
  readonly object: ScannedSeries | null
  /** Number of a segment -> label id. If it is empty, the case has no label map. */
  readonly ids: ReadonlyMap<number, number>
  /** Digests of the files that decide the image and the label map, which a record repeats; null without a label map. */
  readonly digests: { readonly image: string; readonly label: string | null }
}

export interface DicomChoice {
  readonly tasks: readonly DicomTask[]
  /** Region of the label ids; null if nothing is labelled. */
  readonly region: Region | null
}

export interface ChoiceOptions {
  readonly series?: readonly (string | number)[] | undefined
  readonly all?: boolean | undefined
  readonly map?: readonly SegmentRule[] | undefined
  readonly region?: Region | undefined
}

/**
 * Choose the series to convert and the label object of each.
 * @throws UsageError for an unknown series, or a rule that fits no segment; DataError for a named series that is refused
 */
export function chooseTasks(
  series: readonly ScannedSeries[],
  options: ChoiceOptions,
  names: Pseudonyms,
): DicomChoice {
  const { map = [], all = false } = options
  const named = options.series?.map((asked) => namedSeries(series, String(asked)))
  const chosen = chosenSeries(series, named, all)
  const objects = chosen.map((ct) => labelObjectsOf(ct, series))
  const segments = objects.flat().map(({ labels }) => labels!.segments)
  refuseUnmet(map, segments.flat())
  const region = options.region ?? regionOfSegments(segments)
  const tasks = chosen.map((ct, at): DicomTask => {
    const mapped = objects[at]!.map((object) => ({
      object,
      ids:
        region === null ? new Map<number, number>() : labelsOfSegments(object.labels!.segments, region, map),
    }))
    const asked = mapped.find(({ object }) => named?.includes(object))
    const { object, ids } = asked ?? mapped.find((one) => one.ids.size > 0) ?? mapped[0] ?? NO_LABELS
    const image = names.digest(ct.state)
    const label = object === null || ids.size === 0 ? null : names.digest([image, object.state, [...ids]])
    return { id: names.caseOf(ct), ct, object, ids, digests: { image, label } }
  })
  refuseEqualIds(tasks)
  return { tasks, region }
}

const NO_LABELS = { object: null, ids: new Map<number, number>() }

function namedSeries(series: readonly ScannedSeries[], asked: string): ScannedSeries {
  const found = series.find(({ uid }, at) => asked === uid || asked === String(at + 1))
  if (found === undefined)
    throw new UsageError(
      `--series: no such series (expected 1 to ${series.length} or a UID, found ${asked})`,
      {
        hint: 'list the series with `--list`',
      },
    )
  if (found.refusal !== null)
    throw new DataError(`series ${asked}: cannot be converted: ${found.refusal.reason}`, {
      hint: 'choose another series; `--list` lists all',
    })
  return found
}

function chosenSeries(
  series: readonly ScannedSeries[],
  named: readonly ScannedSeries[] | undefined,
  all: boolean,
): ScannedSeries[] {
  if (all) return series.filter(({ volume }) => volume !== null)
  if (named === undefined) return chooseByRule(series)
  return [...new Set(named.map((one) => (one.volume === null ? labelledBy(one, series) : one)))]
}

/** Return the CT series of a label object. */
function labelledBy(object: ScannedSeries, series: readonly ScannedSeries[]): ScannedSeries {
  const found = series.find((ct) => ct.volume !== null && labelObjectsOf(ct, series).includes(object))
  if (found !== undefined) return found
  throw new DataError(`series ${series.indexOf(object) + 1}: its CT series is missing or refused`, {
    hint: 'pass a folder that holds both series',
  })
}

function refuseEqualIds(tasks: readonly DicomTask[]): void {
  const seen = new Set<string>()
  for (const { id } of tasks) {
    if (seen.has(id))
      throw new DataError(`two series have the id ${id} by this key`, {
        hint: 'pass another file with --key',
      })
    seen.add(id)
  }
}

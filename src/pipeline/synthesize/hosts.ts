import type { DataSection } from '../../config/sections/data.js'
import { curate, curationWarnings } from '../../curation/datasets/curate.js'
import type { LeftOut } from '../../curation/datasets/file-names.js'
import { makeManifest } from '../../curation/datasets/manifest.js'
import { pairCases } from '../../curation/datasets/pairs.js'
import type { LabelIdMap } from '../../curation/datasets/registry.js'
import { DataError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import type { StageContext } from '../context.js'
import type { CaseToPrepare } from '../prepare/run.js'
import type { SynthesisSettings } from './settings.js'

/** Cases, the path of host CTs, or the data sets that list them. */
export type Hosts = readonly CaseToPrepare[] | HostPath | DataSection

/** Host CTs at a path of any layout. */
export interface HostPath {
  readonly images: string
  /** Their labels, if they lie apart. */
  readonly labels?: string | undefined
  readonly labelMap?: LabelIdMap | undefined
}

/**
 * Return the cases that receive tumors: all with a label but tests. With method `shrunk`, the training cases with real tumors:
 * a held-out tumor must not be trained on, whatever its size.
 * @throws DataError, UsageError if there is none
 */
export async function hostsOf(
  given: Hosts,
  { region, synthesize }: Pick<SynthesisSettings, 'region' | 'synthesize'>,
  context: StageContext,
): Promise<{ hosts: readonly CaseToPrepare[]; leftOut: readonly LeftOut[] }> {
  const isShrunk = synthesize.method === 'shrunk'
  if ('length' in given) return { hosts: isShrunk ? sourcesAmong(given, context) : given, leftOut: [] }
  const isPath = 'images' in given
  const split = isShrunk ? 'training' : 'all'
  const { notes, ...found } = isPath
    ? { ...(await pairCases(given.images, given.labels, region, given.labelMap, split)), missing: [] }
    : await curate(given, region)
  for (const text of curationWarnings(found)) context.note(text, 'warning')
  for (const text of notes) context.note(text)
  const labelled = found.cases.filter(({ split, label }) => split !== 'test' && label !== null)
  if (labelled.length === 0)
    throw new DataError('data.datasets: no host CT (expected a case with a label that is no test case)', {
      hint: 'add scans with organ labels; `freetumor data list` and `freetumor data check` list the cases',
    })
  if (isShrunk && isPath) context.note(OF_PATHS, 'warning')
  // scans of a path have no role
  const withTumors = isPath ? labelled : labelled.filter(({ role }) => role.kind === 'labelled')
  const hosts = isShrunk ? sourcesAmong(withTumors, context) : labelled
  // refuses two hosts of one id before anything is written
  makeManifest(hosts)
  return { hosts, leftOut: found.leftOut }
}

const OF_PATHS =
  'each scan of a folder counts as a patient of its own: use --config, so that leak checks find copies of held-out patients'

/** Return the cases whose real tumors may be shrunk: neither held out nor synthetic. */
function sourcesAmong<T extends CaseToPrepare>(cases: readonly T[], context: StageContext): readonly T[] {
  const sources = cases.filter(({ split, parent }) => split === 'training' && parent === undefined)
  if (sources.length === 0)
    throw new DataError('synthesize: no tumor to shrink (expected a training case with labelled tumors)', {
      hint: 'name data sets with tumor labels; held-out and synthetic cases are never shrunk',
    })
  const others = cases.length - sources.length
  if (others > 0) context.note(`${counted(others, 'held-out or synthetic case')} left out: never shrunk`)
  return sources
}

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DataError } from '../../errors.js'
import type { LicensedSource } from '../../provenance/licence.js'
import { PROVENANCE, sourcesOf } from '../../provenance/manifest.js'
import { openManifest } from '../../provenance/read-manifest.js'
import type { StageContext } from '../context.js'

/** Sources and licence of an earlier synthesis. */
interface Earlier {
  readonly sources: readonly LicensedSource[]
  readonly licence: string | null
}

/**
 * Return the sources with those of hosts that are synthetic scans themselves: scans of a synthetic data set keep the terms
 * of its sources. Its licence is that of its hosts here, if no other is stated.
 */
export async function withEarlierSources(
  sources: readonly LicensedSource[],
  hosts: readonly { readonly dataset: string; readonly image: string }[],
  { note }: Pick<StageContext, 'note'>,
): Promise<readonly LicensedSource[]> {
  const folders = new Map<string, Earlier | null>()
  const ofDataset = new Map<string, Set<string | null>>()
  for (const { dataset, image } of hosts) {
    const folder = dirname(dirname(image))
    if (!folders.has(folder)) folders.set(folder, await readEarlier(folder, note))
    const licences = ofDataset.get(dataset) ?? new Set()
    ofDataset.set(dataset, licences.add(folders.get(folder)?.licence ?? null))
  }
  const inherited = [...folders.values()].flatMap((one) => one?.sources ?? [])
  if (inherited.length === 0) return sources
  const own = sources.map((source) => {
    if (source.kind !== 'hosts' || source.licence !== null) return source
    const stated = [...(ofDataset.get(source.name) ?? [])]
    return {
      ...source,
      licence: stated.some((one) => one === null) ? null : stated.sort().join(', ') || null,
    }
  })
  const all = new Map(
    [...own, ...inherited].map((one) => [JSON.stringify([one.kind, one.name, one.licence]), one]),
  )
  return [...all.values()]
}

async function readEarlier(folder: string, note: StageContext['note']): Promise<Earlier | null> {
  const path = join(folder, PROVENANCE)
  if (!existsSync(path)) return null
  const leaveOut = (why: string): null => {
    note(`${why}; the licences of its sources are not taken over`, 'warning')
    return null
  }
  try {
    await using manifest = await openManifest(path, [])
    const sources = sourcesOf(manifest.head)
    return sources === null
      ? leaveOut(`${path}: sources in another form`)
      : { sources, licence: manifest.head.licence.name }
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return leaveOut(error.message)
  }
}

import { stemOf } from '../datasets/lists.js'
import type { ManifestCase } from '../datasets/manifest.js'
import { type Dataset, findDataset } from '../datasets/registry.js'

/** A case that is known, by name, to be in another data set too. */
export interface KnownTwin {
  readonly case: ManifestCase
  readonly dataset: string
  readonly note: string
}

/** Two data sets that are known to share scans, nobody says which. */
export interface SharedSources {
  readonly datasets: readonly [string, string]
  readonly note: string
}

export interface KnownOverlaps {
  readonly twins: readonly KnownTwin[]
  readonly shared: readonly SharedSources[]
}

/** What the registry knows of the data sets that are present; one that is absent meets nobody. */
export function knownOverlaps(cases: readonly ManifestCase[], own: readonly Dataset[] = []): KnownOverlaps {
  const present = new Set(cases.map(({ dataset }) => dataset))
  const twins: KnownTwin[] = []
  const shared = new Map<string, SharedSources>()
  for (const name of present)
    for (const { dataset, note, cases: stems } of findDataset(name, own)?.overlaps ?? []) {
      // Of a data set that overlaps with itself the patients tell more.
      if (!present.has(dataset) || dataset === name) continue
      const pair = [name, dataset].sort() as [string, string]
      if (!stems) shared.set(pair.join('\0'), { datasets: pair, note: `${name}: ${note}` })
      else
        for (const item of cases)
          if (item.dataset === name && stems.test(stemOf(item.image)))
            twins.push({ case: item, dataset, note })
    }
  // Where twins are known by name, the data sets' own words add nothing.
  for (const { case: item, dataset } of twins) shared.delete([item.dataset, dataset].sort().join('\0'))
  return { twins, shared: [...shared.values()] }
}

import type { ManifestCase } from '../datasets/manifest.js'
import { type Dataset, findDataset } from '../datasets/registry.js'

/** A case whose name occurs in a list of known copies in another data set. */
export interface KnownTwin {
  readonly case: ManifestCase
  readonly dataset: string
  readonly note: string
}

/** Two data sets that share scans; the list of shared scans is unknown. */
export interface SharedSources {
  readonly datasets: readonly [string, string]
  readonly note: string
}

export interface KnownOverlaps {
  readonly twins: readonly KnownTwin[]
  readonly shared: readonly SharedSources[]
}

/** Return the known overlaps between the data sets that are present. */
export function knownOverlaps(cases: readonly ManifestCase[], own: readonly Dataset[] = []): KnownOverlaps {
  const present = new Set(cases.map(({ dataset }) => dataset))
  const twins: KnownTwin[] = []
  const shared = new Map<string, SharedSources>()
  for (const name of present)
    for (const { dataset, note, cases: stems } of findDataset(name, own)?.overlaps ?? []) {
      // overlaps of a data set with itself are found by patient
      if (!present.has(dataset) || dataset === name) continue
      const pair = [name, dataset].sort() as [string, string]
      if (!stems) shared.set(pair.join('\0'), { datasets: pair, note: `${name}: ${note}` })
      else
        for (const item of cases)
          if (item.dataset === name && stems.test(nameOf(item))) twins.push({ case: item, dataset, note })
    }
  // the note of the data sets adds nothing to twins that are known by name
  for (const { case: item, dataset } of twins) shared.delete([item.dataset, dataset].sort().join('\0'))
  return { twins, shared: [...shared.values()] }
}

/** Return the name of a case within its data set. */
function nameOf({ id, dataset }: ManifestCase): string {
  return id.replace(`${dataset}/`, '').replace(/@(training|validation|test)$/, '')
}

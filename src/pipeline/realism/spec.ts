import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { ManifestCase } from '../../curation/datasets/manifest.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import type { RealismSpec } from '../ports/realism.js'

export type CaseToMeasure = RealismSpec['cases'][number]

/**
 * Return what Python measures of a case with a label.
 * @param hosts scan of each host by its id; empty for real cases
 */
export function measuredCase(
  id: string,
  { image, label, labelMap, region, parent }: ManifestCase,
  hosts: ReadonlyMap<string, string>,
): CaseToMeasure {
  const numbers = join(dirname(dirname(label!)), 'tumorsTr', basename(label!))
  const host = parent === undefined ? undefined : hosts.get(parent)
  return {
    id,
    image,
    label: label!,
    labelMap,
    organs: LABEL_SCHEMES[region].organs.map(({ name, label: organ, tumorLabel }) => ({
      name,
      label: organ,
      tumorLabel,
    })),
    numbers: parent !== undefined && existsSync(numbers) ? numbers : null,
    host: host !== undefined && existsSync(host) ? host : null,
  }
}

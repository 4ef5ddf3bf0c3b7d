import type { ManifestCase } from './manifest.js'

/** Where a synthetic case lies. */
export interface ChildFiles {
  /** `dataset/stem`, unique in a manifest. */
  readonly id: string
  readonly image: string
  readonly label: string
}

/**
 * The manifest entry of a case that was made from another: a synthetic tumor in a host. It is the same patient and stands
 * on the same side of every split, so that no test patient trains under another name.
 * @param organs whose tumors it shows
 * @param labelMap of the child's own label file; default: its parent's
 */
export function childCase(
  parent: ManifestCase,
  files: ChildFiles,
  organs: readonly string[],
  labelMap = parent.labelMap,
): ManifestCase {
  const { patient, region, fold, split } = parent
  const dataset = files.id.slice(0, files.id.lastIndexOf('/')) || parent.dataset
  // A child of a child has the host at the root as its parent.
  const root = parent.parent ?? parent.id
  return {
    ...files,
    dataset,
    patient,
    region,
    role: { kind: 'labelled', organs },
    fold,
    split,
    labelMap,
    parent: root,
  }
}

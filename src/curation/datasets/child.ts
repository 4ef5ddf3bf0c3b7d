import type { ManifestCase } from './manifest.js'

/** Files of a synthetic case. */
export interface ChildFiles {
  /** `dataset/stem`, unique in a manifest. */
  readonly id: string
  readonly image: string
  readonly label: string
}

/**
 * Return the manifest entry of a case that was made from another one: a synthetic tumor in a host CT. It
 * keeps patient and split, so no test patient is trained under another name.
 * @param organs with tumors in the case
 * @param labelMap of the child's label file. Default: that of its parent
 */
export function childCase(
  parent: ManifestCase,
  files: ChildFiles,
  organs: readonly string[],
  labelMap = parent.labelMap,
): ManifestCase {
  const { patient, region, fold, split } = parent
  const dataset = files.id.slice(0, files.id.lastIndexOf('/')) || parent.dataset
  // the parent of a child of a child is the host CT at the root
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

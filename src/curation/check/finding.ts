import type { Vec3 } from '../../volume/volume.js'

export type Severity = 'error' | 'warning' | 'info'

/** A finding of a check; the form of `data check --output json`. */
export interface Finding {
  readonly rule: Rule
  readonly severity: Severity
  readonly case: string
  readonly file: string
  readonly message: string
  readonly fix: string
  /** The scan, if `file` is its label. */
  readonly image?: string
  /** A place of the fault in physical space (mm), where one is known. */
  readonly placeMm?: Vec3
}

/** A finding without case and files, which the caller adds. */
export type RuleFinding = Omit<Finding, 'case' | 'file' | 'image'>

/** Every rule with its meaning. */
export const RULES = {
  'duplicate-id': 'Two cases have one id',
  'duplicate-image': 'One image is listed as two cases',
  'patient-in-two-splits': 'Scans of one patient are on both sides of a split',
  'missing-files': 'Listed files do not exist',
  'not-taken': 'A file looks like a scan and is not one that can be read',
  'organ-masks': 'The masks of organs cannot be merged into a label map',
  unreadable: 'The file is damaged, hostile or not a NIfTI volume',
  'grid-mismatch': 'Image and label do not lie on one physical grid',
  'orientation-differs': 'Image and label share a grid with their axes in another order or direction',
  'misplaced-label': 'The label matches its image better with an axis reversed or exchanged',
  'position-unknown': 'The header does not state the position of the volume',
  'forms-differ': 'The two positions that the header states differ',
  'spacing-range': 'The spacing is outside the range of CT',
  'spacing-contradiction': 'The affine and the pixdim of the header differ',
  'spacing-reset': 'A spacing of exactly 1 mm at full resolution',
  sheared: 'The axes are not at right angles',
  'too-small': 'The prepared scan does not fill a patch',
  'non-finite': 'Voxels are NaN or infinite',
  constant: 'All voxels are equal',
  'hu-wrapped': 'Negative HU were stored without sign',
  'hu-scaled': 'The HU were multiplied by a factor: the rescale slope is wrong',
  'rescale-lost': 'The rescale slope or intercept was lost',
  windowed: 'The values were clipped to an intensity window',
  'no-soft-tissue': 'Almost no voxel is soft tissue',
  'hu-range': 'Values exceed those of metal',
  padding: 'Padding below air',
  'label-values': 'The label contains values that are no ids',
  'label-ids': 'The label contains ids outside its map',
  'label-unknown': 'The meaning of the label ids is unknown',
  'ignored-voxels': 'The label contains voxels that are ignored',
  'no-organ': 'The label contains no organ of the region',
  'organ-missing': 'The label lacks one of the organs',
  'no-tumor': 'A labelled case has no tumor',
  'host-with-tumor': 'A host has a real tumor',
  'tumor-outside-organ': 'Components of a tumor do not touch their organ',
  specks: 'Components of a tumor are too small to be intended',
  'kidney-sides': 'Left and right kidney are exchanged',
  mirrored: 'The liver lies left of the pancreas',
} as const satisfies Record<string, string>

export type Rule = keyof typeof RULES

export type Severity = 'error' | 'warning' | 'info'

/** What a check found; the form of `data check --output json`. */
export interface Finding {
  readonly rule: Rule
  readonly severity: Severity
  readonly case: string
  readonly file: string
  readonly message: string
  readonly fix: string
}

/** What a rule says; the case and the file are known to who asks it. */
export type RuleFinding = Omit<Finding, 'case' | 'file'>

/** Every rule, and what it looks for. */
export const RULES = {
  'duplicate-id': 'Two cases have one id',
  'duplicate-image': 'One image is listed as two cases',
  'patient-in-two-splits': 'Scans of one patient are on both sides of a split',
  'missing-files': 'Listed files do not exist',
  unreadable: 'The file is damaged, hostile or no NIfTI volume',
  'grid-mismatch': 'Image and label do not lie on one grid in the world',
  'orientation-differs': 'Image and label share a grid with their axes in another order or direction',
  'misplaced-label': 'The label fits its image better with an axis reversed or exchanged',
  'position-unknown': 'The header does not say where the volume lies',
  'forms-differ': 'The two positions that the header states differ',
  'spacing-range': 'A spacing that CT does not have',
  'spacing-contradiction': 'The affine and the pixdim of the header differ',
  'spacing-reset': 'A spacing of exactly 1 mm at full resolution',
  sheared: 'The axes are not at right angles',
  'too-small': 'The prepared scan does not fill a patch',
  'non-finite': 'Voxels are NaN or infinite',
  constant: 'All voxels are equal',
  'hu-wrapped': 'Negative HU were stored without sign',
  'rescale-lost': 'The rescale slope or intercept was lost',
  windowed: 'The values were cut to a window',
  'no-soft-tissue': 'Hardly any voxel is soft tissue',
  'hu-range': 'Values beyond those of metal',
  padding: 'Padding below air',
  'label-values': 'The label holds values that are no ids',
  'label-ids': 'The label holds ids outside its map',
  'label-unknown': 'Nobody says what the label ids mean',
  'no-organ': 'The label shows no organ of the region',
  'organ-missing': 'The label lacks one of the organs',
  'no-tumor': 'A labelled case without a tumor',
  'host-with-tumor': 'A host with a real tumor',
  'tumor-outside-organ': 'Pieces of a tumor touch no organ of theirs',
  specks: 'Pieces of a tumor too small to be drawn on purpose',
  'kidney-sides': 'Left and right kidney are exchanged',
  mirrored: 'The liver lies left of the pancreas',
} as const satisfies Record<string, string>

export type Rule = keyof typeof RULES

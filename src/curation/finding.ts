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

export type Rule =
  | 'duplicate-id'
  | 'duplicate-image'
  | 'patient-in-two-splits'
  | 'missing-files'
  | 'unreadable'
  | 'grid-mismatch'
  | 'orientation-differs'
  | 'position-unknown'
  | 'spacing-range'
  | 'spacing-contradiction'
  | 'spacing-reset'
  | 'sheared'
  | 'too-small'
  | 'non-finite'
  | 'constant'
  | 'hu-wrapped'
  | 'rescale-lost'
  | 'windowed'
  | 'no-soft-tissue'
  | 'hu-range'
  | 'padding'
  | 'label-values'
  | 'label-ids'
  | 'no-organ'
  | 'organ-missing'
  | 'no-tumor'
  | 'host-with-tumor'
  | 'tumor-outside-organ'
  | 'specks'
  | 'kidney-sides'
  | 'mirrored'

/** What a rule says; the case and the file are known to who asks it. */
export type RuleFinding = Omit<Finding, 'case' | 'file'>

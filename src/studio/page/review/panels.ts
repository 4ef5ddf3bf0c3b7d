import type { CollectionKind, LayerRole } from '../../review/messages.js'

/** A column of the viewer. */
export type Panel = { readonly title: string } & (
  | { readonly kind: 'scan'; readonly scan: LayerRole; readonly outline: LayerRole | null }
  | { readonly kind: 'difference'; readonly before: LayerRole; readonly after: LayerRole }
  | { readonly kind: 'labels'; readonly scan: LayerRole; readonly labels: LayerRole }
  | {
      readonly kind: 'errors'
      readonly scan: LayerRole
      readonly labels: LayerRole
      readonly predicted: LayerRole
    }
)

/** Columns for each kind of results. */
export const PANELS: Readonly<Record<CollectionKind, readonly Panel[]>> = {
  synthetic: [
    { title: 'Host', kind: 'scan', scan: 'host', outline: 'label' },
    { title: 'Synthetic', kind: 'scan', scan: 'synthetic', outline: 'label' },
    { title: 'Difference', kind: 'difference', before: 'host', after: 'synthetic' },
    { title: 'Mask', kind: 'labels', scan: 'synthetic', labels: 'label' },
  ],
  evaluation: [
    { title: 'Scan', kind: 'scan', scan: 'scan', outline: 'label' },
    { title: 'Label', kind: 'labels', scan: 'scan', labels: 'label' },
    { title: 'Prediction', kind: 'labels', scan: 'scan', labels: 'prediction' },
    { title: 'Errors', kind: 'errors', scan: 'scan', labels: 'label', predicted: 'prediction' },
  ],
  audit: [
    { title: 'First scan', kind: 'scan', scan: 'first', outline: null },
    { title: 'Second scan', kind: 'scan', scan: 'second', outline: null },
  ],
  check: [
    { title: 'Scan', kind: 'scan', scan: 'scan', outline: 'label' },
    { title: 'Label', kind: 'labels', scan: 'scan', labels: 'label' },
  ],
}

/** Return the roles that a panel cannot do without. */
export function neededBy(panel: Panel): readonly LayerRole[] {
  switch (panel.kind) {
    case 'scan':
      return [panel.scan]
    case 'difference':
      return [panel.before, panel.after]
    case 'labels':
      return [panel.labels]
    case 'errors':
      return [panel.labels, panel.predicted]
  }
}

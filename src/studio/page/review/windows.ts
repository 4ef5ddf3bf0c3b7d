/** Intensity windows by key, in HU. */
export const WINDOWS = [
  { key: '1', name: 'Abdomen', low: -160, high: 240 },
  { key: '2', name: 'Liver', low: -20, high: 180 },
  { key: '3', name: 'Lung', low: -1350, high: 150 },
  { key: '4', name: 'Bone', low: -500, high: 1300 },
  { key: '5', name: 'Mediastinum', low: -125, high: 225 },
  { key: '6', name: 'Full range', low: -1024, high: 1024 },
] as const

export type HuWindow = (typeof WINDOWS)[number]
/** Differences beyond this have the darkest colour. */
export const DIFFERENCE_HU = 100

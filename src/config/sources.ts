/** Sources of keys and their defaults. The published scripts are those of Luffy03/FreeTumor at e675abf. */
export const OURS = 'our choice'
/** nnU-Net's choice, which we offer as it is. */
export const NNUNET = 'our choice, as in nnU-Net, docs/method.md#nnu-net-networks'
export const PAPER = 'paper, arXiv 2502.18519'

/** Sections of docs/method.md. */
const METHOD = {
  labels: '2-labels-and-roles',
  dataSets: '3-data-sets',
  preparation: '4-preparation-crops-and-augmentation',
  plans: '5-planned-tumors',
  size: '51-size',
  texture: '55-texture',
  painting: '6-painting',
  synthesis: '7-synthesis-training',
  networks: '8-networks-and-checkpoints',
  merging: 'patch-merging-orders',
  channels: 'generator-channels',
  quality: '9-quality-control',
  segmentation: '10-segmentation-training',
  evaluation: '11-prediction-and-evaluation',
  offline: '12-offline-synthesis',
} as const

export type MethodSection = keyof typeof METHOD

/** Cite the published scripts, as a section of docs/method.md states them. */
export function published(section: MethodSection): string {
  return `published scripts, docs/method.md#${METHOD[section]}`
}

/** Cite our choice that differs from the published scripts: docs/published-constants.md gives the reason. */
export function differs(section: MethodSection): string {
  return `${OURS}, docs/published-constants.md#keys and docs/method.md#${METHOD[section]}`
}

/** Cite our choice that docs/method.md explains. */
export function ours(section: MethodSection): string {
  return `${OURS}, docs/method.md#${METHOD[section]}`
}

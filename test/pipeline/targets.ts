import { resolveConfig } from '../../src/config/resolve.js'
import type { RunConfig } from '../../src/config/schema.js'

/** Target, region, and what they decide: training ids by region id, organs, tumor ids. */
export const TARGETS = [
  ['all', 'abdomen', [0, 1, 2, 3, 4, 5, 6], ['liver', 'pancreas', 'kidney'], [2, 4, 6]],
  ['lits', 'abdomen', [0, 1, 2, 0, 0, 0, 0], ['liver'], [2]],
  ['panc', 'abdomen', [0, 0, 0, 1, 2, 0, 0], ['pancreas'], [2]],
  ['kits', 'abdomen', [0, 0, 0, 0, 0, 1, 2], ['kidney'], [2]],
  ['all', 'chest', [0, 0, 1], ['lung'], [1]],
  ['covid', 'chest', [0, 1, 2], ['lung'], [2]],
] as const

/** A segmentation of a target. */
export function targetConfig(target: string, task: string, region = 'abdomen'): RunConfig {
  return resolveConfig({
    job: 'segmentation',
    region,
    data: { datasets: [{ name: 'Mine' }, { name: 'Hosts' }] },
    networks: { baseline: { checkpoint: 'b.pt' }, generator: { checkpoint: 'g.pt' } },
    training: { target, task },
  })
}

import { resolveConfig } from 'freetumor'
import { describe, expect, it } from 'vitest'
import { shrunkConfig, stageConfig } from '../../../scripts/experiments/arms.js'
import { withEntrant } from '../../../scripts/experiments/early-command.js'
import { SHRUNK_PLAN } from '../../../scripts/experiments/early-plan.js'
import type { Arm } from '../../../scripts/experiments/plan.js'

const PLUGIN = { plugin: { command: ['/opt/diffusion', '--weights', '/opt/w.pt'] } }
const plan = { ...withEntrant(SHRUNK_PLAN, PLUGIN), seeds: [1000], testSeed: 1001 }
const cell = { seed: 1000, labelled: 4 }
const world = { root: '/data', cache: '/cache', testImages: '/i', testLabels: '/l', realHosts: null }
const weights = { start: '/start.pt', generator: '/generator.pt', untrainedGenerator: null }
const configOf = (arm: Arm) =>
  resolveConfig(stageConfig(arm, cell, plan, world, weights, { tumorVolumesMl: [1] }))

describe('the arms of shrunk-tumors', () => {
  it('paint the diameters that are shrunk to, all equally often', () => {
    const ranges = configOf('uniformSizes').simulation.curriculum!.map(({ diameterMm }) => diameterMm)
    expect(ranges).toEqual([5, 6, 7, 8, 9].map((from) => [from, from + 1]))
    expect(configOf('entrant').simulation).toEqual(configOf('uniformSizes').simulation)
    expect(resolveConfig(shrunkConfig(cell, plan, world)).synthesize.shrunkDiameterMm).toEqual([5, 10])
  })

  it('visit copies of the labelled cases as often as the other arms visit hosts', () => {
    const { data, training, networks } = configOf('shrunk')
    const { variants } = resolveConfig(shrunkConfig(cell, plan, world)).synthesize
    const repeatOf = (sets: typeof data, name: string) =>
      sets.datasets.find((one) => one.name === name)!.repeat
    expect(repeatOf(data, 'shrunk') * variants * cell.labelled).toBe(
      repeatOf(configOf('uniformSizes').data, 'hosts') * plan.hosts,
    )
    expect(repeatOf(data, 'labelled')).toBe(repeatOf(configOf('uniformSizes').data, 'labelled'))
    // the copies have their tumors already
    expect(training.task).toBe('onlylabeled')
    expect(networks.generator).toBeNull()
  })

  it('paint with the synthesizer that a plan enters, in an arm of its own', () => {
    expect(plan.arms).toEqual(['realOnly', 'uniformSizes', 'shrunk', 'entrant'])
    const { networks, quality } = configOf('entrant')
    expect(networks.generator!.plugin!.command).toEqual(PLUGIN.plugin.command)
    expect(networks.baseline).toBeNull()
    expect(quality).toEqual(configOf('uniformSizes').quality)
  })
})

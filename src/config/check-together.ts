import { ConfigError } from '../errors.js'
import { paintsTumors } from './jobs.js'
import { ORGAN_NAMES } from './key.js'
import { OVERLAP_HINT, overlapOf } from './measured-ranges.js'
import { networkStages, sideMultiples } from './network-stages.js'
import type { RunConfig } from './schema.js'
import type { PluginSettings } from './sections/networks.js'
import type { DeepReadonly } from './types.js'

type Fail = (message: string, hint: string) => never

/**
 * Check keys that depend on each other.
 * @throws ConfigError that names the keys
 */
export function checkTogether(config: RunConfig, name: string): void {
  const { job, training, networks } = config
  const fail = failer(name)
  checkLength(config, fail)
  checkWindow(config, fail)
  checkRanks(config, fail)
  checkTarget(config, fail)
  checkPatch(config, fail)
  checkAimedOrgans(config, fail)
  checkAimedRanges(config, fail)
  if (job === 'synthesis') {
    if (networks.baseline === null)
      fail('networks.baseline: missing (expected for job synthesis)', 'set networks.baseline.checkpoint')
    if (networks.generator === null)
      fail('networks.generator: missing (expected for job synthesis)', 'remove generator: null')
    for (const network of ['baseline', 'generator'] as const)
      if (networks[network]?.plugin)
        fail(
          `networks.${network}.plugin: not possible in job synthesis, which needs gradients`,
          'name weights with checkpoint or trainFrom',
        )
  }
  const needsTumors = paintsTumors(config)
  if (needsTumors) {
    checkTumors(config, fail)
    checkContrasts(config, fail)
  }
  if (job === 'segmentation' && needsTumors) checkPolicy(config, fail)
  if (training.task === 'onlylabeled') return
  if (needsTumors) checkSource('baseline', networks.baseline, fail)
  if (job !== 'synthesis') checkSource('generator', networks.generator, fail)
}

/** The keys that a stage needs to paint tumors with finished networks. */
type PaintingSections = Pick<RunConfig, 'prepare' | 'simulation' | 'quality'> & {
  readonly sampling: Pick<RunConfig['sampling'], 'patchVoxels'>
  readonly networks: Pick<RunConfig['networks'], 'baseline' | 'generator'>
}

/**
 * Check the keys of a stage that paints tumors and trains nothing.
 * @throws ConfigError that names the keys
 */
export function checkPainting(sections: PaintingSections, name: string): void {
  const fail = failer(name)
  checkWindow(sections, fail)
  checkEighths(sections.sampling, fail)
  checkAimedRanges(sections, fail)
  checkTumors(sections, fail)
  checkContrasts(sections, fail)
  checkPolicy(sections, fail)
  checkSource('baseline', sections.networks.baseline, fail)
  checkSource('generator', sections.networks.generator, fail)
}

function failer(name: string): Fail {
  return (message, hint) => {
    throw new ConfigError(`${name}: ${message}`, { hint, facts: { file: name } })
  }
}

function checkLength({ training }: RunConfig, fail: Fail): void {
  if ((training.steps === null) === (training.epochs === null))
    fail(
      `training.steps, training.epochs: wrong values (expected one number and one null, found ${training.steps} and ${training.epochs})`,
      'set one of them to null',
    )
  if (training.validateEverySteps !== null && training.validateEveryEpochs !== null)
    fail(
      'training.validateEverySteps, training.validateEveryEpochs: both are set (expected one)',
      'set one of them to null',
    )
}

function checkWindow({ prepare }: Pick<RunConfig, 'prepare'>, fail: Fail): void {
  if (prepare.windowHu[0] >= prepare.windowHu[1])
    fail(
      `prepare.windowHu: wrong order (expected the lower end first, found ${JSON.stringify(prepare.windowHu)})`,
      'write it like [-175, 250]',
    )
}

function checkRanks({ sampling, training, runtime }: RunConfig, fail: Fail): void {
  const ranks = runtime.nodes * runtime.processesPerNode
  if (sampling.itemsPerStep % (ranks * training.accumulation) !== 0)
    fail(
      `sampling.itemsPerStep: not divisible by ranks * training.accumulation (expected a multiple of ${ranks * training.accumulation}, found ${sampling.itemsPerStep})`,
      'change sampling.itemsPerStep, runtime.processesPerNode or training.accumulation, as configs/*-8gpu.yaml do',
    )
}

function checkTarget({ region, training }: RunConfig, fail: Fail): void {
  if (region === 'chest' && !['all', 'covid'].includes(training.target))
    fail(
      `training.target: no target of the chest (expected covid or all, found ${training.target})`,
      'set training.target: covid, or region: abdomen',
    )
  if (region === 'abdomen' && training.target === 'covid')
    fail('training.target: no target of the abdomen (found covid)', 'set region: chest')
}

function checkPatch({ sampling, prepare, networks: { segmentor } }: RunConfig, fail: Fail): void {
  const { kind, featureSize } = segmentor
  if (kind !== 'swinunetr') {
    checkEighths(sampling, fail)
    if (kind === 'small') return
    const stages = networkStages(kind, featureSize, sampling.patchVoxels, prepare.spacingMm)
    const multiples = sideMultiples(stages)
    if (sampling.patchVoxels.some((side, axis) => side % multiples[axis]! !== 0))
      fail(
        `sampling.patchVoxels: wrong sides (expected multiples of ${multiples.join(', ')} for ${kind}, found ${sampling.patchVoxels.join(', ')})`,
        'use sides such as 64, 96 or 128',
      )
    return
  }
  const wrong = sampling.patchVoxels.find((side) => side % 32 !== 0)
  if (wrong !== undefined)
    fail(
      `sampling.patchVoxels: wrong side (expected multiples of 32 for swinunetr, found ${wrong})`,
      'use sides such as 64, 96 or 128',
    )
  if (segmentor.featureSize % 12 !== 0)
    fail(
      `networks.segmentor.featureSize: wrong value (expected a multiple of 12 for swinunetr, found ${segmentor.featureSize})`,
      'use the published 48',
    )
}

function checkEighths({ patchVoxels }: PaintingSections['sampling'], fail: Fail): void {
  if (patchVoxels.some((side) => side % 8 !== 0))
    fail(
      `sampling.patchVoxels: wrong sides (expected multiples of 8, found ${patchVoxels.join(', ')})`,
      'write them like [40, 40, 40]',
    )
}

function checkTumors(
  { simulation, sampling }: Pick<PaintingSections, 'simulation' | 'sampling'>,
  fail: Fail,
): void {
  if (sampling.patchVoxels.some((side, axis) => side > simulation.texture.sizeVoxels[axis]!))
    fail(
      `simulation.texture.sizeVoxels: too small (expected at least sampling.patchVoxels, ${sampling.patchVoxels.join(', ')}, found ${simulation.texture.sizeVoxels.join(', ')})`,
      'increase simulation.texture.sizeVoxels',
    )
  if (Object.values(simulation.sizeOdds).every((odds) => odds === 0))
    fail(
      'simulation.sizeOdds: all odds are 0 (expected at least one above 0)',
      'set the odds of one size above 0',
    )
}

function checkAimedOrgans({ simulation, region }: RunConfig, fail: Fail): void {
  const organs = ORGAN_NAMES.filter((organ) => (organ === 'lung') === (region === 'chest'))
  for (const [at, { organ }] of (simulation.curriculum ?? []).entries())
    if (!organs.includes(organ))
      fail(
        `simulation.curriculum.${at}.organ: not an organ of the region ${region} (expected one of ${organs.join(', ')}, found ${organ})`,
        'remove the entry, or name the file of an evaluation of this region',
      )
}

function checkAimedRanges({ simulation }: Pick<RunConfig, 'simulation'>, fail: Fail): void {
  const overlap = overlapOf(simulation.curriculum ?? [])
  if (overlap === null) return
  const { first, second, kind, fault } = overlap
  fail(
    `simulation.curriculum.${second}.${kind}: overlaps simulation.curriculum.${first} ${fault}`,
    OVERLAP_HINT,
  )
}

function checkContrasts(
  { simulation, networks }: Pick<PaintingSections, 'simulation' | 'networks'>,
  fail: Fail,
): void {
  if (networks.generator === null) return
  const at = simulation.curriculum?.findIndex(({ contrastHu }) => contrastHu !== undefined) ?? -1
  if (at >= 0)
    fail(
      `simulation.curriculum.${at}.contrastHu: not possible with a generator, which decides the contrast (expected networks.generator: null)`,
      'remove the lines with contrastHu, or set networks.generator: null for hand-crafted tumors',
    )
}

function checkPolicy({ quality }: Pick<PaintingSections, 'quality'>, fail: Fail): void {
  if (quality.policy === 'published') return
  if (quality.calibration === null)
    fail(
      'quality.calibration: missing (expected for policy calibrated)',
      'write one with `freetumor calibrate`, and name it',
    )
  if (quality.shareOver === 'case')
    fail(
      'quality.shareOver: wrong value (expected tumor for policy calibrated, found case)',
      'set quality.shareOver: tumor',
    )
}

function checkSource(
  key: 'baseline' | 'generator',
  network: DeepReadonly<{
    checkpoint: unknown
    trainFrom: string | null
    plugin: PluginSettings | null
  }> | null,
  fail: Fail,
): void {
  if (network?.plugin) {
    if (network.checkpoint !== null || network.trainFrom !== null)
      fail(`networks.${key}: has a plugin and weights (expected one)`, 'remove checkpoint and trainFrom')
    const unknown = network.plugin.command.join(' ').match(/\{(?!(?:device|threads|socket)\})[a-zA-Z]+\}/)
    if (unknown !== null)
      fail(
        `networks.${key}.plugin.command: unknown placeholder (expected {device}, {threads} or {socket}, found ${unknown[0]})`,
        'correct the word',
      )
    return
  }
  if (network !== null && network.checkpoint === null && network.trainFrom === null)
    fail(
      `networks.${key}: no weights (expected checkpoint, trainFrom or plugin)`,
      `set checkpoint to weights, or trainFrom to the configuration that trains them${key === 'generator' ? ', or set generator: null for hand-crafted tumors' : ''}`,
    )
}

import { ConfigError } from '../errors.js'
import { paintsTumors } from './jobs.js'
import type { RunConfig } from './schema.js'
import type { DeepReadonly } from './types.js'

type Fail = (message: string, hint: string) => never

/**
 * Checks what no single key can tell.
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
  if (job === 'synthesis') {
    if (networks.baseline === null) fail('networks.baseline is needed by job synthesis', 'name a checkpoint')
    if (networks.generator === null) fail('networks.generator is needed by job synthesis', 'remove the null')
  }
  const needsTumors = paintsTumors(config)
  if (needsTumors) checkTumors(config, fail)
  if (training.task === 'onlylabeled') return
  if (needsTumors) checkSource('baseline', networks.baseline, fail)
  if (job !== 'synthesis') checkSource('generator', networks.generator, fail)
}

/** The keys that a stage needs to paint tumors with finished networks. */
type PaintingSections = Pick<RunConfig, 'prepare' | 'simulation'> & {
  readonly sampling: Pick<RunConfig['sampling'], 'patchVoxels'>
  readonly networks: Pick<RunConfig['networks'], 'baseline' | 'generator'>
}

/**
 * Checks the keys of a stage that paints tumors and trains nothing.
 * @throws ConfigError that names the keys
 */
export function checkPainting(sections: PaintingSections, name: string): void {
  const fail = failer(name)
  checkWindow(sections, fail)
  checkEighths(sections.sampling, fail)
  checkTumors(sections, fail)
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
    fail('training.steps and training.epochs: exactly one must be set, the other null', 'set one of them')
  if (training.validateEverySteps !== null && training.validateEveryEpochs !== null)
    fail(
      'training.validateEverySteps and training.validateEveryEpochs are both set',
      'set one of them, the other null',
    )
}

function checkWindow({ prepare }: Pick<RunConfig, 'prepare'>, fail: Fail): void {
  if (prepare.windowHu[0] >= prepare.windowHu[1])
    fail(`prepare.windowHu must rise, got ${JSON.stringify(prepare.windowHu)}`, 'for instance [-175, 250]')
}

function checkRanks({ sampling, training, runtime }: RunConfig, fail: Fail): void {
  const ranks = runtime.nodes * runtime.processesPerNode
  if (sampling.itemsPerStep % (ranks * training.accumulation) !== 0)
    fail(
      `sampling.itemsPerStep (${sampling.itemsPerStep}) must be divisible by ranks * training.accumulation (${ranks * training.accumulation})`,
      'change sampling.itemsPerStep, runtime.processesPerNode or training.accumulation; configs/*-8gpu.yaml scale the rate with them',
    )
}

function checkTarget({ region, training }: RunConfig, fail: Fail): void {
  if (region === 'chest' && !['all', 'covid'].includes(training.target))
    fail(`training.target ${training.target} is of the abdomen, region is chest`, 'use covid or all')
  if (region === 'abdomen' && training.target === 'covid')
    fail('training.target covid is of the chest, region is abdomen', 'set region: chest')
}

function checkPatch({ sampling, networks: { segmentor } }: RunConfig, fail: Fail): void {
  if (segmentor.kind !== 'swinunetr') {
    checkEighths(sampling, fail)
    return
  }
  const wrong = sampling.patchVoxels.find((side) => side % 32 !== 0)
  if (wrong !== undefined)
    fail(
      `sampling.patchVoxels: ${wrong} is not a multiple of 32, which swinunetr needs`,
      'use 64, 96, 128 ...',
    )
  if (segmentor.featureSize % 12 !== 0)
    fail('networks.segmentor.featureSize must be a multiple of 12 for swinunetr', 'published: 48')
}

function checkEighths({ patchVoxels }: PaintingSections['sampling'], fail: Fail): void {
  if (patchVoxels.some((side) => side % 8 !== 0))
    fail('sampling.patchVoxels must be multiples of 8', 'for instance [40, 40, 40]')
}

function checkTumors(
  { simulation, sampling }: Pick<PaintingSections, 'simulation' | 'sampling'>,
  fail: Fail,
): void {
  if (sampling.patchVoxels.some((side, axis) => side > simulation.texture.sizeVoxels[axis]!))
    fail('simulation.texture.sizeVoxels must be larger than sampling.patchVoxels on every axis', 'enlarge it')
  if (Object.values(simulation.sizeOdds).every((odds) => odds === 0))
    fail('simulation.sizeOdds: every size has odds 0', 'give at least one a positive number')
}

function checkSource(
  key: 'baseline' | 'generator',
  network: DeepReadonly<{ checkpoint: unknown; trainFrom: string | null }> | null,
  fail: Fail,
): void {
  if (network !== null && network.checkpoint === null && network.trainFrom === null)
    fail(
      `networks.${key} has neither checkpoint nor trainFrom`,
      `name the checkpoint of an earlier run, or the config that makes it${key === 'generator' ? ', or set networks.generator: null for hand-crafted tumors' : ''}`,
    )
}

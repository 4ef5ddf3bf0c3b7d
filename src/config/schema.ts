import { z } from 'zod'
import { JOBS, key, REGIONS } from './key.js'
import { clusterSection } from './sections/cluster.js'
import { dataSection } from './sections/data.js'
import { evaluationSection } from './sections/evaluation.js'
import { networksSection } from './sections/networks.js'
import { prepareSection } from './sections/prepare.js'
import { qualitySection } from './sections/quality.js'
import { reportSection } from './sections/report.js'
import { runtimeSection } from './sections/runtime.js'
import { samplingSection } from './sections/sampling.js'
import { simulationSection } from './sections/simulation.js'
import { synthesizeSection } from './sections/synthesize.js'
import { trackingSection } from './sections/tracking.js'
import { trainingSection } from './sections/training.js'
import { OURS, PAPER, published } from './sources.js'
import { type DeepReadonly, natural } from './types.js'

export type { ConfigInput } from '../generated/config-input.js'
export { JOBS, ORGAN_NAMES, REGIONS } from './key.js'

/**
 * The complete description of a run. Every key has its type, description, unit, default and source in `sections/` and
 * nowhere else. Units stand in the names; sizes are voxels of the prepared grid.
 */
export const runConfigSchema = z.strictObject({
  job: key(
    z.enum(JOBS),
    'Training to run: `baseline` learns from real tumors, `synthesis` trains a generator, `segmentation` uses synthetic tumors.',
    'It decides the networks, the losses and most defaults.',
    { source: PAPER },
  ),
  name: key(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'only letters, digits, dot, dash and underscore'),
    'Name of the run, of letters, digits, dots, dashes and underscores.',
    'Run directories are `runs/NAME/ID` unless `--out` is given.',
    {
      default: ({ job, region }) => `${region}-${job}`,
      follows: 'REGION-JOB, such as abdomen-baseline',
      source: OURS,
    },
  ),
  seed: key(
    natural,
    'Seed of all random numbers of the run.',
    'The same seed gives the same items, tumors and initial weights.',
    { default: 0, source: OURS },
  ),
  region: key(
    z.enum(REGIONS),
    'Body region of the run.',
    'It decides label ids, grid, crop size and the sign of tumors.',
    { default: 'abdomen', source: published('labels') },
  ),
  data: key(
    dataSection,
    'Data sets of the run and the cases that it holds out.',
    'Their content decides what the networks learn.',
    { source: published('dataSets') },
  ),
  prepare: key(
    prepareSection,
    'Resampling of scans and the cache of prepared cases.',
    'Networks work on the prepared grid only.',
    { source: published('preparation') },
  ),
  simulation: key(
    simulationSection,
    'Number, organ, size, place and texture of planned tumors.',
    'It applies to jobs and tasks that paint tumors, and to `freetumor synthesize`.',
    { source: published('plans') },
  ),
  sampling: key(
    samplingSection,
    'Volumes and crops of a training step, and their augmentation.',
    'Item k depends on seed, job and k only.',
    { source: published('preparation') },
  ),
  networks: key(
    networksSection,
    'Segmentor, baseline and generator, and the weights that they start from.',
    'Checkpoints fit only networks of the same kind and size.',
    { source: published('networks') },
  ),
  training: key(
    trainingSection,
    'Length, optimizer, losses, validation and checkpoints of the training.',
    'The defaults are the published settings of the job in the region.',
    { source: published('segmentation') },
  ),
  quality: key(
    qualitySection,
    'Rules that accept or reject synthetic tumors.',
    'The same rules apply online and offline.',
    { source: published('quality') },
  ),
  synthesize: key(
    synthesizeSection,
    'Settings of `freetumor synthesize`, which paints tumors into whole scans.',
    'Trainings ignore them.',
    { source: published('offline') },
  ),
  evaluation: key(
    evaluationSection,
    'Sliding windows of validation and of quality control.',
    'They change speed and accuracy, not what is learned.',
    { source: published('evaluation') },
  ),
  runtime: key(
    runtimeSection,
    'Machines, processes, device, precision and restarts.',
    'It changes speed and memory; the items stay the same.',
    { source: OURS },
  ),
  cluster: key(
    clusterSection.nullable(),
    'Job of a cluster that `freetumor submit` starts; null runs on this machine only.',
    'Trainings ignore it.',
    { default: null, source: OURS },
  ),
  report: key(reportSection, 'Report of the run.', 'It does not change the training.', { source: OURS }),
  tracking: key(
    trackingSection,
    'Services that receive the figures of a training: MLflow, Weights & Biases, OpenTelemetry.',
    'Without an address nothing is sent.',
    { source: OURS },
  ),
})

/** A resolved configuration: complete, checked, frozen. */
export type RunConfig = DeepReadonly<z.infer<typeof runConfigSchema>>

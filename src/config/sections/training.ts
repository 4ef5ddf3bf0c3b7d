import { z } from 'zod'
import { key } from '../key.js'
import { OURS, published } from '../sources.js'
import { count, type DeepReadonly, natural, positive } from '../types.js'

export const TARGETS = ['all', 'lits', 'panc', 'kits', 'covid'] as const
export const TASKS = ['onlylabeled', 'freesyn'] as const

const classWeight = (name: string) =>
  key(
    positive,
    `Weight of ${name} in the cross-entropy.`,
    'A larger weight makes errors on these voxels count more.',
    { default: 1, source: OURS },
  )

export const trainingSection = z.strictObject({
  target: key(
    z.enum(TARGETS),
    'Outputs of the segmentor: `all` of the region, or one organ and its tumor.',
    '`lits` is liver, `panc` pancreas, `kits` kidney, `covid` lung.',
    {
      default: ({ job, region }) =>
        job !== 'segmentation' ? 'all' : region === 'abdomen' ? 'lits' : 'covid',
      source: published('segmentation'),
    },
  ),
  task: key(
    z.enum(TASKS),
    'Training data: `onlylabeled` for real tumors, `freesyn` for real tumors and synthetic ones in hosts.',
    'Jobs `baseline` and `synthesis` do not need it.',
    {
      default: ({ job }) => (job === 'segmentation' ? 'freesyn' : 'onlylabeled'),
      source: published('segmentation'),
    },
  ),
  steps: key(
    count.nullable(),
    'Length of the run in optimizer steps; null if `epochs` is set.',
    'Exactly one of the two is set.',
    { unit: 'optimizer steps', default: null, source: OURS },
  ),
  epochs: key(
    count.nullable(),
    'Length of the run in epochs; null if `steps` is set.',
    'An epoch visits every case as often as its `repeat`.',
    {
      unit: 'epochs',
      default: ({ job, region }) =>
        job === 'synthesis' ? 100 : region === 'chest' ? 30 : job === 'baseline' ? 200 : 20,
      source: published('segmentation'),
    },
  ),
  optimizer: key(
    z.enum(['adam', 'adamw', 'sgd']),
    'Optimizer; `adamw` uses amsgrad, `adam` has betas 0 and 0.999, `sgd` Nesterov momentum 0.99.',
    'In job `synthesis`, generator and discriminator have one each.',
    {
      default: ({ job }) => (job === 'synthesis' ? 'adam' : 'adamw'),
      source: published('segmentation'),
    },
  ),
  learningRate: key(
    positive,
    'Learning rate after the warm-up.',
    'More volumes per step allow a larger rate; `freetumor runs set` changes it during the run.',
    {
      follows: '3e-4; 1e-4 in job `synthesis`; 0.01 for `sgd`',
      source: published('segmentation'),
    },
  ),
  schedule: key(
    z.enum(['constant', 'warmupCosine', 'poly']),
    'Learning rate over the run: constant, a linear warm-up and a cosine to 0, or `poly` of nnU-Net.',
    'Unless it is constant, another length of the run changes the rate of every step.',
    {
      default: ({ job }) => (job === 'synthesis' ? 'constant' : 'warmupCosine'),
      source: published('segmentation'),
    },
  ),
  warmupSteps: key(
    natural.nullable(),
    'Length of the warm-up in optimizer steps; null uses `warmupEpochs`.',
    'A longer warm-up protects the first steps from a large rate.',
    { unit: 'optimizer steps', default: null, source: OURS },
  ),
  warmupEpochs: key(
    z.number().min(0).nullable(),
    'Length of the warm-up in epochs.',
    'It is ignored if `warmupSteps` is set.',
    {
      unit: 'epochs',
      default: ({ job, region }) => (job === 'synthesis' ? 0 : region === 'abdomen' ? 2 : 1),
      source: published('segmentation'),
    },
  ),
  weightDecay: key(
    z.number().min(0),
    'Weight decay of the optimizer.',
    'Larger values keep weights smaller.',
    {
      follows: '0.01; 0 in job `synthesis`; 3e-5 for `sgd`',
      source: published('segmentation'),
    },
  ),
  crossEntropyWeights: key(
    z.strictObject({
      background: classWeight('background'),
      organ: classWeight('organs'),
      tumor: classWeight('tumors'),
    }),
    'Class weights in the cross-entropy of a segmentor.',
    'They do not change the Dice loss.',
    { source: OURS },
  ),
  adversarialWeight: key(
    z.number().min(0),
    'Weight w of the adversarial loss in the loss of the generator.',
    'Larger values make the discriminator count more than the baseline.',
    { default: ({ region }) => (region === 'abdomen' ? 0.1 : 0.5), source: published('synthesis') },
  ),
  accumulation: key(
    count,
    'Number of parts that a rank divides the volumes of a step into.',
    'More parts need less memory; in job `synthesis`, each part has its own batch statistics.',
    {
      unit: 'parts',
      follows: '1; in job `synthesis`, the fewest parts with at most 4 volumes per rank',
      source: `${OURS}, docs/published-constants.md#one-gpu`,
    },
  ),
  gradientClip: key(
    positive.nullable(),
    'Largest norm of all gradients of a network together; null does not clip.',
    'Clipping limits the steps after rare large gradients.',
    { default: null, source: OURS },
  ),
  freeze: key(
    z.array(z.string().min(1)),
    'Names of weights that do not learn; `*` stands for any characters.',
    'In job `synthesis`, names begin with `netG.` or `netD.`.',
    { default: [], source: OURS },
  ),
  validateEverySteps: key(
    count.nullable(),
    'Number of optimizer steps between validations.',
    'Each validation also saves a checkpoint; if both keys are null, only the end is validated.',
    { unit: 'optimizer steps', default: null, source: OURS },
  ),
  validateEveryEpochs: key(
    positive.nullable(),
    'Number of epochs between validations.',
    'Null if `validateEverySteps` or `steps` is set.',
    {
      unit: 'epochs',
      default: ({ job, region }) =>
        job === 'synthesis' ? null : job === 'baseline' && region === 'abdomen' ? 10 : 1,
      source: published('segmentation'),
    },
  ),
  earlyStop: key(
    z
      .strictObject({
        patience: key(
          count,
          'Number of validations in a row without a better tumor Dice that end the run.',
          'Larger numbers wait longer.',
          { unit: 'validations', source: OURS },
        ),
        minDelta: key(
          z.number().min(0).default(0),
          'Smallest rise of the tumor Dice that counts as better.',
          'Larger values end the run earlier.',
          { unit: 'Dice, 0 to 1', source: OURS },
        ),
      })
      .nullable(),
    'Condition that ends the run before its last step; null trains to the end.',
    'The run counts as completed.',
    { default: null, source: OURS },
  ),
  checkpointEverySteps: key(
    count.nullable(),
    'Number of optimizer steps between checkpoints; null saves at validations and at the end only.',
    'A crash repeats at most this many steps.',
    { unit: 'optimizer steps', default: 500, source: OURS },
  ),
  keepCheckpoints: key(
    count,
    'Number of newest checkpoints that are kept.',
    'The checkpoint of the best validation is kept in addition.',
    { unit: 'checkpoints', default: 3, source: OURS },
  ),
})

/** Length, optimizer, losses, validation and checkpoints of a training. */
export type TrainingSection = DeepReadonly<z.infer<typeof trainingSection>>

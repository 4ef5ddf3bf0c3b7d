import { z } from 'zod'
import { ITS_KEYS, key } from '../key.js'
import { SEGMENTOR_PRESETS } from '../segmentor-presets.js'
import { differs, NNUNET, OURS, ours, published } from '../sources.js'
import { count, type DeepReadonly, nonEmptyText } from '../types.js'

export const SEGMENTOR_KINDS = ['swinunetr', 'resenc', 'unet', 'small'] as const

const mergingOrder = z.enum(['legacy', 'corrected', 'v2'])
const checkpointPart = z.strictObject({
  path: key(nonEmptyText, 'Checkpoint file.', 'Its weights are the start of the training.', {
    path: true,
    source: OURS,
  }),
  use: key(
    z.enum(['both', 'generator']).default('both'),
    'Networks that synthesis training starts from the file.',
    '`generator` starts the discriminator from random weights.',
    { source: OURS },
  ),
})

const segmentor = z.strictObject({
  kind: key(
    z.enum(SEGMENTOR_KINDS),
    'Architecture: SwinUNETR, nnU-Net with residual encoder (`resenc`) or plain (`unet`), or `small` for tests and laptops.',
    'Checkpoints of one kind do not load into another.',
    { default: 'swinunetr', source: published('networks') },
  ),
  preset: key(
    z.enum(SEGMENTOR_PRESETS).nullable(),
    'Patch, batch and optimizer of nnU-Net for `resenc` or `unet` on a GPU with 4 GB (`S`), 9 GB (`M`) or 24 GB (`L`).',
    'Keys that the configuration states take precedence; job `synthesis` ignores it.',
    { default: null, source: NNUNET },
  ),
  featureSize: key(
    count,
    'Number of channels of the first level; a multiple of 12 for `swinunetr`.',
    'Memory and time grow with it.',
    {
      unit: 'channels',
      follows: '48; 32 for `resenc` and `unet`, as in nnU-Net',
      source: published('networks'),
    },
  ),
  levels: key(count.max(5), 'Number of resolution levels of the small U-Net.', 'The other kinds ignore it.', {
    unit: 'levels',
    default: 3,
    source: OURS,
  }),
  deepSupervision: key(
    z.boolean(),
    'Train the outputs of the lower resolutions of `resenc` and `unet` too, as nnU-Net does.',
    'It needs little time; the other kinds ignore it.',
    { default: true, source: NNUNET },
  ),
  patchMerging: key(
    mergingOrder.nullable(),
    'Patch-merging order of the SwinUNETR.',
    'Weights that were trained in another order give wrong outputs without an error.',
    {
      follows: 'null (the order that the weights state) with `initialWeights`, else `corrected`',
      source: differs('merging'),
    },
  ),
  initialWeights: key(
    nonEmptyText.nullable(),
    'File that the segmentor starts from, where name and shape of a weight match; null starts at random.',
    'Mismatches are listed in the log.',
    { default: null, path: true, source: differs('networks') },
  ),
  initialWeightsSet: key(
    nonEmptyText.nullable(),
    'Set of weights in the file of `initialWeights`: `student`, `teacher`, `ema`, or a key of the file.',
    'Null takes the only set; a file with several sets needs a name.',
    { default: null, source: OURS },
  ),
  activationCheckpointing: key(
    z.boolean(),
    'Recompute activations in the backward pass of the segmentor.',
    'It needs less memory and more time; results are bit-identical.',
    { default: false, source: OURS },
  ),
})

const plugin = z.strictObject({
  python: key(
    nonEmptyText.nullable().default(null),
    'Python executable of the environment of the plug-in, as a path or a command name.',
    'It starts `command`; with null, the first word of `command` is the program.',
    { path: 'program', source: OURS },
  ),
  command: key(
    z.array(nonEmptyText).min(1).max(256),
    'Words of the command line that starts the plug-in; no shell reads them.',
    '`{device}`, `{threads}` and `{socket}` are filled in; words with ./ are paths from the file.',
    { path: 'command', source: OURS },
  ),
  startTimeoutSeconds: key(
    z.number().positive().max(86_400).default(60),
    'Time limit for the start of the plug-in, including its imports and weights.',
    'A plug-in that takes longer is ended with an error.',
    { unit: 's', source: OURS },
  ),
  requestTimeoutSeconds: key(
    z.number().positive().max(86_400).default(120),
    'Time limit for the answer to a request, which is one crop.',
    'A plug-in that takes longer is ended with an error.',
    { unit: 's', source: OURS },
  ),
})

const baseline = z.strictObject({
  plugin: key(
    plugin.nullable(),
    'Program in an environment of its own that segments the crops, see docs/plugins.md.',
    'It replaces `checkpoint` and `trainFrom`; job `synthesis` cannot use one.',
    { default: null, source: OURS },
  ),
  checkpoint: key(
    nonEmptyText.nullable(),
    'Checkpoint of the frozen baseline.',
    'If it is null, `trainFrom` makes the baseline.',
    { default: null, path: true, source: published('networks') },
  ),
  weights: key(
    nonEmptyText.nullable(),
    'Set of weights in the file of `checkpoint`: `student`, `teacher`, `ema`, or a key of the file.',
    'Null takes the only set; a file with several sets needs a name.',
    { default: null, source: OURS },
  ),
  trainFrom: key(
    nonEmptyText.nullable(),
    'Configuration of the training that makes the baseline.',
    'It is trained first, if its weights are missing; `checkpoint` takes precedence.',
    { default: null, path: true, source: OURS },
  ),
  patchMerging: key(
    mergingOrder.nullable(),
    'Patch-merging order of the baseline; null is the order that its file states.',
    'A wrong order gives wrong outputs without an error.',
    { default: null, source: ours('merging') },
  ),
})

const generator = z.strictObject({
  plugin: key(
    plugin.nullable(),
    'Program in an environment of its own that synthesizes the tumors, see docs/plugins.md.',
    'It replaces `checkpoint` and `trainFrom`; job `synthesis` cannot use one.',
    { default: null, source: OURS },
  ),
  checkpoint: key(
    z.union([nonEmptyText, checkpointPart], 'a file, or { path: FILE, use: both | generator }').nullable(),
    'Checkpoint of the generator, or an object with `path` and `use`.',
    'In job `synthesis`, generator and discriminator start from it.',
    { default: null, path: true, source: published('networks') },
  ),
  weights: key(
    nonEmptyText.nullable(),
    'Set of weights in the file of `checkpoint`: `student`, `teacher`, `ema`, or a key of the file.',
    'Null takes the only set; a file with several sets needs a name.',
    { default: null, source: OURS },
  ),
  trainFrom: key(
    nonEmptyText.nullable(),
    'Configuration of the training that makes the generator.',
    'It is trained first, if its weights are missing; `checkpoint` takes precedence.',
    { default: null, path: true, source: OURS },
  ),
  baseChannels: key(
    count,
    'Number of channels of the first convolution of generator and discriminator.',
    'Memory and time grow with it.',
    { unit: 'channels', default: 32, source: published('networks') },
  ),
  channel: key(
    z.enum(['organ', 'shared']),
    'Output channel for an organ: one per organ, or the first for all organs.',
    'Published abdomen generators need `shared`.',
    { default: 'organ', source: differs('channels') },
  ),
  activationCheckpointing: key(
    z.boolean(),
    'Recompute activations in the backward pass of generator and discriminator.',
    'It needs less memory and more time; results are bit-identical.',
    { default: false, source: OURS },
  ),
})

export const networksSection = z.strictObject({
  segmentor: key(
    segmentor,
    'Network that labels organs and tumors.',
    'Jobs `baseline` and `segmentation` train it.',
    { source: published('networks') },
  ),
  baseline: key(
    baseline.nullable(),
    'Frozen segmentor that judges synthetic tumors; null in job `baseline`.',
    'Without it only `quality.rules` reject tumors.',
    { default: ({ job }) => (job === 'baseline' ? null : ITS_KEYS), source: published('networks') },
  ),
  generator: key(
    generator.nullable(),
    'Network that paints tumors; null paints hand-crafted ones.',
    'Job `synthesis` trains it together with a discriminator.',
    { default: ({ job }) => (job === 'baseline' ? null : ITS_KEYS), source: published('networks') },
  ),
})

/** A program in an environment of its own. */
export type PluginSettings = DeepReadonly<z.infer<typeof plugin>>

/** The networks of a run and the weights that they start from. */
export type NetworksSection = DeepReadonly<z.infer<typeof networksSection>>

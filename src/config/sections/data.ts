import { z } from 'zod'
import { key, ORGAN_NAMES, REGIONS } from '../key.js'
import { OURS, ours, published } from '../sources.js'
import { type DeepReadonly, natural, nonEmptyText } from '../types.js'

const target = z.union([natural.max(255), z.literal('ignore')])
const labelMap = z.union([z.record(z.string().regex(/^\d+$/), target), nonEmptyText])
const organs = z.array(z.enum(ORGAN_NAMES))
const pattern = z.string().refine(isPattern, 'a regular expression')

function isPattern(text: string): boolean {
  try {
    new RegExp(text)
    return true
  } catch {
    return false
  }
}

const datasets = z.strictObject({
  name: key(
    nonEmptyText,
    'Name of the data set in `freetumor data list`, in `data.registry`, or a name of your own.',
    'A name of your own needs `role`, and `labelMap` unless its list names the ids of the region.',
    { source: published('dataSets') },
  ),
  path: key(
    nonEmptyText.nullable().default(null),
    'Folder or list of the data set, below `data.root`; null is the name.',
    'Set it if the folder has another name than the data set.',
    { source: OURS },
  ),
  repeat: key(
    natural.default(1),
    'Number of times that an epoch visits each case of the data set.',
    'A higher number gives its cases a larger share of the training; 0 leaves them out.',
    { unit: 'visits per epoch', source: published('segmentation') },
  ),
  role: key(
    z.enum(['labelled', 'host']).nullable().default(null),
    'Role of the cases: `labelled` has real tumors, `host` receives synthetic ones; null is the registered role.',
    'Hosts take part in job `synthesis` and in task `freesyn` only.',
    { source: published('dataSets') },
  ),
  labelMap: key(
    labelMap.nullable().default(null),
    'Label ids of the source mapped to ids of the region, a preset, or `region` (same ids); null is the registered map.',
    'Voxels of an id that is mapped to `ignore` are in no loss and no figure; an id outside the map is refused.',
    { source: ours('labels') },
  ),
  licence: key(
    nonEmptyText.nullable().default(null),
    'Licence of your copy of the data set; null is the registered one.',
    '`synthesize` refuses hosts whose licence forbids derivatives, and records the others.',
    { source: OURS },
  ),
  validationFold: key(
    natural.nullable().default(null),
    'Fold of the data set that is held out; null holds out the validation part of its list.',
    'Cases of this fold are validated and never trained on.',
    { source: published('dataSets') },
  ),
})

const ROLE_KIND = [
  'Kind of the data set: `labelled`, `host`, or `test`, which is never trained on.',
  'It decides how the cases of the data set are used.',
  { source: published('dataSets') },
] as const
const ROLE_ORGANS = [
  'Organs whose real tumors the labels contain.',
  'A specialist refuses labelled cases of other organs.',
  { source: ours('segmentation') },
] as const
const LAYOUT_KIND = [
  'Kind of the layout: `folders` for images and labels apart, `flat` for pairs in one folder.',
  'It decides which of the other keys are read.',
  { source: published('dataSets') },
] as const

const role = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: key(z.literal('labelled'), ...ROLE_KIND),
    organs: key(organs, ...ROLE_ORGANS),
  }),
  z.strictObject({ kind: key(z.literal('host'), ...ROLE_KIND) }),
  z.strictObject({ kind: key(z.literal('test'), ...ROLE_KIND), organs: key(organs, ...ROLE_ORGANS) }),
])

const layout = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: key(z.literal('folders'), ...LAYOUT_KIND),
    images: key(nonEmptyText, 'Folder of the images below the data set.', 'It replaces `imagesTr`.', {
      source: published('dataSets'),
    }),
    labels: key(nonEmptyText, 'Folder of the labels below the data set.', 'It replaces `labelsTr`.', {
      source: published('dataSets'),
    }),
  }),
  z.strictObject({
    kind: key(z.literal('flat'), ...LAYOUT_KIND),
    folder: key(
      nonEmptyText,
      'Folder of images and labels below the data set.',
      'Other folders of the data set are ignored.',
      { source: published('dataSets') },
    ),
    imageEnding: key(
      nonEmptyText,
      'End of the name of an image file, such as `_ct.nii.gz`.',
      'The rest of the name is the case.',
      { source: published('dataSets') },
    ),
    labelEnding: key(
      nonEmptyText,
      'End of the name of a label file, such as `_seg.nii.gz`.',
      'A label belongs to the image with the same rest of the name.',
      { source: published('dataSets') },
    ),
  }),
])

const overlaps = z.strictObject({
  dataset: key(
    nonEmptyText,
    'Name of the other data set that contains some of the same scans or patients.',
    'A run that trains on one and holds out the other is warned or refused.',
    { source: ours('dataSets') },
  ),
  note: key(z.string(), 'Sentence that describes the overlap.', 'It appears in the refusal and in audits.', {
    source: OURS,
  }),
  cases: key(
    pattern.optional(),
    'Regular expression of the file stems that the other data set contains.',
    'Runs that train on these cases and hold out the other data set are refused; without it they are warned.',
    { source: OURS },
  ),
})

/** A data set of one's own, in the form that the registry has (`freetumor data list --output json`). */
const registry = z.strictObject({
  name: key(
    nonEmptyText,
    'Name of the data set, which is also its folder below `data.root`.',
    'Use the name in `data.datasets`.',
    { source: OURS },
  ),
  title: key(
    nonEmptyText.nullable().default(null),
    'Title of the data set in lists and reports; null is the name.',
    'It changes nothing else.',
    { source: OURS },
  ),
  region: key(z.enum(REGIONS), 'Body region of the scans.', 'A run refuses data sets of the other region.', {
    source: published('labels'),
  }),
  role: key(
    role,
    'Role of the data set, with the organs whose real tumors it labels.',
    'It decides whether its cases are trained on, painted into, or only tested.',
    { source: published('dataSets') },
  ),
  published: key(
    z
      .strictObject({
        training: key(natural, 'Number of published training cases.', '`freetumor data list` prints it.', {
          unit: 'cases',
          source: OURS,
        }),
        validation: key(
          natural,
          'Number of published validation cases.',
          '`freetumor data list` prints it.',
          {
            unit: 'cases',
            source: OURS,
          },
        ),
      })
      .default({ training: 0, validation: 0 }),
    'Published numbers of cases.',
    '`freetumor data list` prints them.',
    { source: OURS },
  ),
  labelMap: key(
    labelMap.nullable().default(null),
    'Label ids of the source mapped to ids of the region, or the name of a preset.',
    'With null, the names in the list of the data set define the map.',
    { source: ours('labels') },
  ),
  note: key(
    z.string().nullable().default(null),
    'Sentence about the labels that users should read.',
    '`freetumor data list` prints it.',
    { source: OURS },
  ),
  licence: key(
    z.string().default('your own'),
    'Licence of the data set.',
    '`freetumor data list` prints it.',
    { source: OURS },
  ),
  overlaps: key(
    z.array(overlaps).default([]),
    'Other data sets that contain some of the same scans or patients.',
    'The leak check warns of or refuses runs that train on one and hold out the other.',
    { source: ours('dataSets') },
  ),
  aliases: key(
    z.array(nonEmptyText).default([]),
    'Lower-case words that stand for the data set in names of list files.',
    '`freetumor data import` recognises lists by them.',
    { source: OURS },
  ),
  kidneySides: key(
    z
      .strictObject({
        left: key(natural, 'Label id of the left kidney in the source.', 'Data checks compare the sides.', {
          unit: 'label id',
          source: OURS,
        }),
        right: key(natural, 'Label id of the right kidney in the source.', 'Data checks compare the sides.', {
          unit: 'label id',
          source: OURS,
        }),
      })
      .nullable()
      .default(null),
    'Label ids of the two kidneys in the source, if it separates them.',
    'With them, data checks find mirrored scans.',
    { source: OURS },
  ),
  patientPattern: key(
    pattern.nullable().default(null),
    'Regular expression whose first group is the patient in the name of a case.',
    'With null, every scan counts as a patient of its own.',
    { source: OURS },
  ),
  layout: key(
    layout.nullable().default(null),
    'Folders of the data set other than `imagesTr` and `labelsTr`.',
    'Null is the published layout.',
    { source: published('dataSets') },
  ),
})

const allowedLeaks = z.strictObject({
  training: key(
    nonEmptyText,
    'Id of the training case, `dataset/stem`; `*` stands for any characters.',
    'Only pairs that match both ids are allowed.',
    { source: OURS },
  ),
  heldOut: key(
    nonEmptyText,
    'Id of the held-out case, `dataset/stem`; `*` stands for any characters.',
    'Only pairs that match both ids are allowed.',
    { source: OURS },
  ),
  reason: key(
    z.string().trim().min(10, 'a sentence that explains why the pair may stay'),
    'Sentence that explains why the pair may stay, of at least 10 characters.',
    'It appears in the events and in the report of the run.',
    { source: OURS },
  ),
})

const phantoms = z.strictObject({
  labelledCases: key(
    natural,
    'Number of synthetic phantoms with tumors for training, in `phantom_labelled`.',
    '0 leaves the data set out.',
    { unit: 'cases', source: OURS },
  ),
  validationCases: key(
    natural,
    'Number of synthetic phantoms with tumors for validation, in `phantom_labelled`.',
    'With 0 nothing is validated.',
    { unit: 'cases', source: OURS },
  ),
  hostCases: key(
    natural,
    'Number of healthy synthetic phantoms, in `phantom_hosts`.',
    '0 leaves the data set out.',
    { unit: 'cases', source: OURS },
  ),
  testCases: key(
    natural,
    'Number of synthetic phantoms with tumors for evaluation, in `phantom_test`.',
    'They are never trained on.',
    { unit: 'cases', source: OURS },
  ),
  sizeVoxels: key(
    z.int().min(32).max(512),
    'Side of each phantom.',
    'Larger phantoms have larger organs and take longer.',
    { unit: 'voxels', source: OURS },
  ),
  seed: key(natural, 'Seed of the phantoms.', 'Another seed gives other anatomies and tumors.', {
    source: OURS,
  }),
  difficulty: key(
    z.enum(['standard', 'hard', 'early', 'late']).default('standard'),
    'Difficulty of the phantoms.',
    '`hard` makes smaller tumors in uneven organs, which no threshold separates; `early` makes still smaller ones, `late` larger ones in the same organs.',
    { source: OURS },
  ),
})

export const dataSection = z.strictObject({
  root: key(nonEmptyText, 'Folder that contains the data sets.', 'A data set is read from `<root>/<name>`.', {
    default: 'data',
    path: true,
    source: published('dataSets'),
  }),
  registry: key(
    z.array(registry),
    'Data sets of your own, in addition to those of `freetumor data list`.',
    '`data.datasets` can name them.',
    { default: [], source: OURS },
  ),
  datasets: key(
    z.array(datasets).min(1),
    'Data sets of the run.',
    'An epoch visits each training case as often as the `repeat` of its data set.',
    { source: published('dataSets') },
  ),
  manifest: key(
    nonEmptyText.nullable(),
    'Manifest that `freetumor data split` or `data import` wrote; null reads the lists of the data sets.',
    'It defines the cases, patients and folds of `data.datasets`.',
    { default: null, path: true, source: OURS },
  ),
  allowOutside: key(
    z.boolean(),
    'Accept lists and manifests that name files outside `data.root`.',
    'Without it such an entry is an error.',
    { default: false, source: OURS },
  ),
  allowedLeaks: key(
    z.array(allowedLeaks),
    'Pairs of training and held-out cases that may stay although they share data.',
    'Any other leak ends the run with exit code 6.',
    { default: [], source: ours('dataSets') },
  ),
  phantoms: key(
    phantoms.nullable(),
    'Write the missing data sets `phantom_labelled`, `phantom_hosts` and `phantom_test` below `data.root`.',
    'Null writes no phantoms.',
    { default: null, source: OURS },
  ),
})

/** The data sets of a run and the cases that it holds out. */
export type DataSection = DeepReadonly<z.infer<typeof dataSection>>

import { join, resolve } from 'node:path'
import { Option } from 'commander'
import { readNumbers, readPositions } from '../../config/lists.js'
import { countLabelIds } from '../../curation/datasets/remap.js'
import { DataError, UsageError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { type PreviewTumor, previewPng } from '../../report/simulation-preview.js'
import { type SimulationRequest, simulateOnLabels } from '../../simulation/on-labels.js'
import { RADIUS_VOXELS, radiiOfVolumes, radiusVoxelsOf, SIZE_CLASSES } from '../../simulation/size.js'
import { applyAffine, invertAffine, spacingOf } from '../../volume/geometry.js'
import { readNifti } from '../../volume/nifti.js'
import { writeNifti } from '../../volume/nifti-write.js'
import type { LabelMap, Vec3 } from '../../volume/volume.js'
import { makeWritableFolder, writeWhole } from '../../whole-file.js'
import { labelId } from '../label-ids.js'
import { positiveNumber, wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly labels: string
  /** Label id. */
  readonly organ: number
  readonly size: SimulationRequest['size']
  readonly tumors: number
  readonly seed: number
  readonly out: string
  readonly writeMasks: number
  readonly unitMm?: number
  readonly volumes?: string
  readonly positions?: string
  readonly output: 'text' | 'json'
}

/** `freetumor simulate`: plan positions and shapes of tumors in a label map. */
export const addSimulateCommand: AddCommand = (program, io) => {
  withExample(
    program.command('simulate'),
    'freetumor simulate --labels liver.nii.gz --organ liver --size small --tumors 100 --seed 1 --out tumors --write-masks 3',
  )
    .description('Simulate tumor positions and shapes in an organ, with a picture')
    .requiredOption('--labels <file>', 'Set the label map (.nii, .nii.gz or .hdr)')
    .requiredOption('--organ <id>', 'Set the organ, by label id or name (liver)', (text) =>
      labelId('--organ', text, null),
    )
    .addOption(
      new Option('--size <size>', 'Set the size class; mixed: draw one for each tumor')
        .choices([...SIZE_CLASSES, 'mixed'])
        .makeOptionMandatory(),
    )
    .requiredOption('--tumors <n>', 'Set the number of tumors', wholeNumber(1))
    .option('--seed <n>', 'Set the seed of positions and shapes', wholeNumber(0), 0)
    .requiredOption('--out <dir>', 'Set the folder for tumors.ndjson, preview.png and masks')
    .option('--write-masks <k>', 'Write the masks of the first K tumors', wholeNumber(0), 0)
    .option(
      '--unit-mm <mm>',
      'Set the voxel edge in which size classes are measured, such as the published 1.5',
      positiveNumber,
    )
    .option('--volumes <file>', 'Read tumor volumes in ml from this file, one per line')
    .option(
      '--positions <file>',
      'Place tumors at these positions in turn; a line is {"mm": [x, y, z]} (RAS) or {"voxel": [i, j, k]}',
    )
    .addOption(outputOption())
    .action(async (options: Options) => {
      const out = resolve(io.cwd, options.out)
      const labels = await readLabels(resolve(io.cwd, options.labels))
      const request = await readRequest(options, labels, io.cwd)
      await makeWritableFolder(out)
      const lines: string[] = []
      const shown: PreviewTumor[] = []
      let noRoom = 0
      for (const found of simulateOnLabels(labels, request)) {
        if (found.outcome !== 'placed') {
          if (found.outcome === 'organTooSmall') throw tooSmall(options)
          noRoom++
          continue
        }
        lines.push(JSON.stringify(found.tumor))
        const { box, origin } = found.mask
        if (shown.length < MAX_SHOWN) shown.push({ size: found.tumor.size, origin, ...box })
        if (found.tumor.index >= options.writeMasks) continue
        const name = `tumor_${String(found.tumor.index).padStart(5, '0')}.nii.gz`
        await writeNifti(join(out, name), placed(found.mask, labels))
      }
      await writeWhole(join(out, 'preview.png'), preview(labels, options.organ, shown))
      await writeWhole(join(out, 'tumors.ndjson'), lines.map((line) => `${line}\n`).join(''))
      printResult(io, 'simulate', options.output, { out, count: lines.length, noRoom }, () => [
        `${counted(lines.length, 'tumor')} in ${join(out, 'tumors.ndjson')}${noRoom > 0 ? `, ${noRoom} without room` : ''}; a picture in ${join(out, 'preview.png')}`,
      ])
    })
}

/** Largest number of tumors in the picture; more hide each other. */
const MAX_SHOWN = 200

async function readRequest(
  { organ, size, tumors, seed, unitMm, volumes, positions }: Options,
  labels: LabelMap,
  cwd: string,
): Promise<SimulationRequest> {
  if (unitMm !== undefined && volumes !== undefined)
    throw new UsageError('--unit-mm and --volumes: both set the size (expected one)', {
      hint: 'omit one of them',
    })
  const spacingMm = spacingOf(labels.affine)
  const radius = (voxels: number) => radiusVoxelsOf(voxels * unitMm!, spacingMm)
  const { tiny, small, medium, large } = RADIUS_VOXELS
  return {
    organLabel: organ,
    size,
    count: tumors,
    seed,
    ...(unitMm === undefined
      ? {}
      : {
          radiusVoxels: {
            tiny: radius(tiny),
            small: radius(small),
            medium: radius(medium),
            large: radius(large),
          },
        }),
    ...(volumes === undefined
      ? {}
      : { listedRadii: radiiOfVolumes(await readNumbers(resolve(cwd, volumes)), spacingMm) }),
    ...(positions === undefined ? {} : { centres: await readCentres(resolve(cwd, positions), labels) }),
  }
}

async function readCentres(file: string, { affine }: LabelMap): Promise<Vec3[]> {
  const toVoxel = invertAffine(affine)
  const found = await readPositions(file)
  return found.map(({ mm, voxel }) => (voxel ?? applyAffine(toVoxel, mm!)).map(Math.round) as unknown as Vec3)
}

function tooSmall({ labels, organ }: Options): DataError {
  return new DataError(
    `${labels}: organ too small (expected a 5 x 5 square of id ${organ} in an axial slice, found none)`,
    {
      hint: 'check the id, or that the third axis of the array is the axial one',
      facts: { organ, outcome: 'organTooSmall' },
    },
  )
}

function preview({ data, shape, affine }: LabelMap, organ: number, tumors: readonly PreviewTumor[]): Buffer {
  return previewPng({ shape, spacingMm: spacingOf(affine), label: data, organLabel: organ }, tumors)
}

async function readLabels(file: string): Promise<LabelMap> {
  const { data, shape, affine } = await readNifti(file)
  const largest = Math.max(...countLabelIds({ data, shape, affine }, file).keys())
  if (largest > 255)
    throw new DataError(`${file}: label id too large (expected at most 255, found ${largest})`, {
      hint: 'map the ids below 256 with `freetumor data remap`',
    })
  return { data: data instanceof Uint8Array ? data : Uint8Array.from(data), shape, affine }
}

/** Return the mask of one tumor on the grid of the label map. */
function placed(
  { box, origin }: { readonly box: Pick<LabelMap, 'data' | 'shape'>; readonly origin: LabelMap['shape'] },
  { shape, affine }: LabelMap,
): LabelMap {
  const data = new Uint8Array(shape[0] * shape[1] * shape[2])
  const [, width, length] = box.shape
  for (let row = 0; row < box.shape[0] * width; row++) {
    const x = Math.floor(row / width) + origin[0]
    const y = (row % width) + origin[1]
    data.set(box.data.subarray(row * length, (row + 1) * length), (x * shape[1] + y) * shape[2] + origin[2])
  }
  return { data, shape, affine }
}

import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Option } from 'commander'
import { countLabelIds } from '../../curation/remap.js'
import { DataError } from '../../errors.js'
import { simulateOnLabels } from '../../simulation/on-labels.js'
import { SIZE_CLASSES, type SizeClass } from '../../simulation/size.js'
import { readNifti } from '../../volume/nifti.js'
import { writeNifti } from '../../volume/nifti-write.js'
import type { LabelMap } from '../../volume/volume.js'
import { wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly labels: string
  readonly organ: number
  readonly size: SizeClass
  readonly count: number
  readonly seed: number
  readonly out: string
  readonly writeMasks: number
  readonly output: 'text' | 'json'
}

/** `freetumor simulate`: where tumors would go in a label map, and their shapes. */
export const addSimulateCommand: AddCommand = (program, io) => {
  withExample(
    program.command('simulate'),
    'freetumor simulate --labels liver.nii.gz --organ 1 --size small --count 100 --seed 1 --out tumors --write-masks 3',
  )
    .description('tumor positions and shapes in an organ of a label map; needs no GPU and no Python')
    .requiredOption('--labels <file>', 'label map (.nii or .nii.gz)')
    .requiredOption('--organ <id>', 'label id of the organ', wholeNumber(1))
    .addOption(new Option('--size <size>', 'size class').choices(SIZE_CLASSES).makeOptionMandatory())
    .requiredOption('--count <n>', 'tumors wanted', wholeNumber(1))
    .option('--seed <n>', 'tumor i depends on the seed and i only', wholeNumber(0), 0)
    .requiredOption('--out <dir>', 'folder for tumors.ndjson and masks')
    .option('--write-masks <k>', 'write the masks of the first K tumors', wholeNumber(0), 0)
    .addOption(outputOption())
    .action(async (options: Options) => {
      const out = resolve(io.cwd, options.out)
      const labels = await readLabels(resolve(io.cwd, options.labels))
      await mkdir(out, { recursive: true })
      const lines: string[] = []
      let noRoom = 0
      for (const found of simulateOnLabels(labels, { ...options, organLabel: options.organ })) {
        if (found.outcome === 'noRoom') {
          noRoom++
          continue
        }
        lines.push(JSON.stringify(found.tumor))
        if (found.tumor.index >= options.writeMasks) continue
        const name = `tumor_${String(found.tumor.index).padStart(5, '0')}.nii.gz`
        await writeNifti(join(out, name), placed(found.mask, labels))
      }
      await writeFile(join(out, 'tumors.ndjson.tmp'), lines.map((line) => `${line}\n`).join(''))
      await rename(join(out, 'tumors.ndjson.tmp'), join(out, 'tumors.ndjson'))
      printResult(
        io,
        options.output,
        { out, count: lines.length, noRoom },
        () =>
          `${lines.length} tumors in ${join(out, 'tumors.ndjson')}${noRoom > 0 ? `, ${noRoom} found no room` : ''}`,
      )
    })
}

async function readLabels(file: string): Promise<LabelMap> {
  const { data, shape, affine } = await readNifti(file)
  const largest = Math.max(...countLabelIds({ data, shape, affine }, file).keys())
  if (largest > 255)
    throw new DataError(`${file}: holds label id ${largest}; ids up to 255 are read`, {
      hint: 'bring the ids below 256 with `freetumor data remap`',
    })
  return { data: data instanceof Uint8Array ? data : Uint8Array.from(data), shape, affine }
}

/** The mask of one tumor on the grid of the label map. */
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

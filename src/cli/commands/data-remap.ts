import { resolve } from 'node:path'
import type { Remapped } from '../../curation/datasets/remap.js'
import { remapData } from '../../pipeline/data/remap.js'
import { labelNameOf, type Region } from '../../volume/labels.js'
import { wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, mapDescription, outputOption, regionOption, withExample } from '../program.js'

interface Options {
  readonly labels: string
  readonly map: string
  readonly region?: Region
  readonly out: string
  readonly rest?: number
  readonly round?: boolean
  readonly output: 'text' | 'json'
}

/** `freetumor data remap` */
export const addDataRemap: AddCommand = (data, io) => {
  withExample(
    data.command('remap'),
    'freetumor data remap --labels kits.nii.gz --map kits --out label.nii.gz',
    'freetumor data remap --labels totalseg.nii.gz --map TotalSegmentator --region chest --out lungs.nii.gz',
    'freetumor data remap --labels mine.nii.gz --map 1:5,2:6,3:5 --out label.nii.gz',
    'freetumor data remap --labels all-organs.nii.gz --map 5:1 --rest 0 --out liver.nii.gz',
  )
    .description('Remap label ids, and print the voxels before and after')
    .requiredOption('--labels <file>', 'Read this label map')
    .requiredOption('--map <map>', mapDescription())
    .requiredOption('--out <file>', 'Write the label map here')
    .option('--rest <id>', 'Map all other ids to this one (default: refuse them)', wholeNumber(0))
    .option('--round', 'Round values that are nearly integers, such as 4.99995')
    .addOption(regionOption())
    .addOption(outputOption())
    .action(async (options: Options) => {
      const remapped = await remapData({
        ...options,
        labels: resolve(io.cwd, options.labels),
        out: resolve(io.cwd, options.out),
      })
      printResult(io, 'data remap', options.output, { ...remapped, out: options.out }, () =>
        table(remapped, options.region),
      )
    })
}

function table({ before, after }: Pick<Remapped, 'before' | 'after'>, region: Region | undefined): string[] {
  return [
    'source -> target       voxels',
    ...before.map(
      ({ source, target, voxels }) =>
        `${String(source).padStart(6)} -> ${String(target).padEnd(6)} ${String(voxels).padStart(12)}`,
    ),
    '',
    'after                  voxels',
    ...after.map(
      ({ id, voxels }) =>
        `${String(id).padStart(6)} ${(region ? labelNameOf(id, region) : '').padEnd(9)} ${String(voxels).padStart(12)}`,
    ),
  ]
}

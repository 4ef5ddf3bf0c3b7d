import { InvalidArgumentError, Option } from 'commander'
import { defaultsFor } from '../../config/defaults.js'
import { resolveConfig } from '../../config/resolve.js'
import { REGIONS } from '../../config/schema.js'
import { EXIT } from '../../errors.js'
import { predictMasks } from '../../pipeline/predict.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly checkpoint: string
  readonly images: string
  readonly out: string
  readonly region?: (typeof REGIONS)[number]
  readonly merging?: string
  readonly overlap: number
  readonly blend: 'constant' | 'gaussian'
  readonly map?: Readonly<Record<string, number>>
  readonly output: 'text' | 'json'
}

/** `freetumor predict`: label maps of scans. */
export const addPredictCommand: AddCommand = (program, io) => {
  withExample(
    program.command('predict'),
    'freetumor predict --checkpoint runs/first/checkpoints/step_00000060/model.pt --images scans --out masks',
  )
    .description('segments every scan of a folder; masks lie on the grid of their scan')
    .requiredOption('--checkpoint <file>', 'weights of a segmentor')
    .requiredOption('--images <dir>', 'folder of .nii or .nii.gz scans')
    .requiredOption('--out <dir>', 'folder for the masks')
    .addOption(
      new Option('--region <region>', 'window, spacing and patch where the file does not say them').choices(
        REGIONS,
      ),
    )
    .addOption(
      new Option('--merging <order>', 'patch-merging order where the file does not say it').choices([
        'legacy',
        'corrected',
        'v2',
      ]),
    )
    .option('--overlap <share>', 'of neighbouring windows', overlap, 0.75)
    .addOption(
      new Option('--blend <kind>', 'weights within a window')
        .choices(['constant', 'gaussian'])
        .default('constant'),
    )
    .option('--map <ids>', '`leaderboard` (2, 4, 6 become 1, all else 0), or from:to,...', labelMap)
    .addOption(outputOption())
    .action(async (options: Options) => {
      const { region } = options
      const settings = region
        ? resolveConfig({
            ...defaultsFor('baseline', region),
            job: 'baseline',
            data: { datasets: [{ name: 'none' }] },
          })
        : null
      const prediction = await withLogFolder(io, torchRuntime(), (context) =>
        predictMasks(
          {
            checkpoint: options.checkpoint,
            images: options.images,
            out: options.out,
            windows: { overlap: options.overlap, blend: options.blend, windowBatch: 4 },
            patchMerging: options.merging,
            windowHu: settings?.prepare.windowHu,
            spacingMm: settings?.prepare.spacingMm,
            patchVoxels: settings?.sampling.patchVoxels,
            map: options.map,
          },
          context,
        ),
      )
      for (const { caseId, error } of prediction.failed) io.note(`failed ${caseId}: ${error.message}`)
      printResult(
        io,
        options.output,
        prediction,
        () => `${prediction.cases.length} masks in ${options.out}, ${prediction.failed.length} failed`,
      )
      if (prediction.failed.length > 0) io.exitWith(EXIT.data)
    })
}

function overlap(text: string): number {
  const value = Number(text)
  if (!(value >= 0 && value < 1)) throw new InvalidArgumentError('a number from 0 to below 1 was expected.')
  return value
}

function labelMap(text: string): Record<string, number> {
  if (text === 'leaderboard') return { '1': 0, '2': 1, '3': 0, '4': 1, '5': 0, '6': 1 }
  const pairs = text.split(',').map((pair) => /^(\d+):(\d+)$/.exec(pair))
  if (pairs.includes(null)) throw new InvalidArgumentError('leaderboard, or from:to,from:to was expected.')
  return Object.fromEntries(pairs.map((pair) => [pair![1]!, Number(pair![2])]))
}

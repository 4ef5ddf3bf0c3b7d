import { resolve } from 'node:path'
import { Option } from 'commander'
import type { Split } from '../../curation/datasets/lists.js'
import type { Shard } from '../../curation/datasets/shard.js'
import { EXIT } from '../../errors.js'
import { labelOrgansAt, type OrganLabels } from '../../pipeline/organs/run.js'
import type { MergingOrder } from '../../pipeline/ports/checkpoint.js'
import { counted } from '../../plain-text.js'
import { toolRunner } from '../../runtime/tool.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import type { Region } from '../../volume/labels.js'
import { wholeNumber } from '../numbers.js'
import { organNotes, organSource } from '../organ-options.js'
import { printLine, printResult } from '../output.js'
import {
  type AddCommand,
  mapDescription,
  mergingOption,
  outputOption,
  weightsOption,
  withExample,
} from '../program.js'
import { shardOf, shardOption } from '../shard-option.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly images: string
  readonly out: string
  readonly with: readonly string[]
  readonly toolPython?: string
  readonly task?: string
  readonly toolArg?: readonly string[]
  readonly labels?: string
  readonly labelsMap?: string
  readonly map?: string
  readonly region?: Region
  readonly split?: Split
  readonly allowOutside?: boolean
  readonly limitSeconds?: number
  readonly workers?: number
  readonly device?: 'auto' | 'cpu' | 'cuda'
  readonly merging?: MergingOrder
  readonly weights?: string
  readonly overwrite?: boolean
  readonly shard?: Shard
  readonly output: 'text' | 'json' | 'ndjson'
}

/** `freetumor organs`: label the organs of scans with a tool in an environment of its own. */
export const addOrgansCommand: AddCommand = (program, io) => {
  withExample(
    program.command('organs'),
    'freetumor organs --images scans --out organs --with totalsegmentator --tool-python ~/totalseg/bin/python',
    'freetumor organs --images scans --out organs --with checkpoint organs.pt --region abdomen',
    'freetumor organs --images scans --out organs --with command "my-tool {image} {output}" --map 5:liver',
  )
    .description('Label the organs of scans, and merge given tumor labels')
    .requiredOption(
      '--images <path>',
      'Read a folder of scans, a data set, one scan, or a list (.json, .txt)',
    )
    .requiredOption('--out <dir>', 'Set the folder for the label maps; a stopped command is resumed')
    .requiredOption(
      '--with <tool...>',
      'Set the tool: totalsegmentator, lungmask, checkpoint FILE, or command "WORDS"',
    )
    .option(
      '--tool-python <path>',
      'Set the Python of the environment of the tool (default: the tool on PATH)',
    )
    .option('--task <name>', 'Set the task of TotalSegmentator (default: total), or the model of lungmask')
    .option(
      '--tool-arg <argument>',
      'Pass an argument to the tool, as in --tool-arg=--fast; may be repeated',
      collected,
    )
    .option('--labels <path>', 'Merge label maps with tumors, under the names of the scans')
    .option('--labels-map <map>', 'Map the ids of --labels (default: they are those of the region)')
    .option('--map <map>', `${mapDescription()}; of the tool`)
    .addOption(
      new Option(
        '--region <region>',
        'Set the region of the ids (default: abdomen; lungmask: chest)',
      ).choices(['abdomen', 'chest']),
    )
    .addOption(
      new Option('--split <split>', 'Select the split of a list that has several').choices([
        'training',
        'validation',
        'test',
      ]),
    )
    .option('--allow-outside', 'Accept a list that names files outside its own folder')
    .option(
      '--limit-seconds <n>',
      'Set the time limit of the tool for one scan (default: 3600)',
      wholeNumber(1),
    )
    .option('--workers <n>', 'Set the number of scans in work at a time (default: 1)', wholeNumber(1))
    .addOption(
      new Option('--device <device>', 'Set the device (default: auto)').choices(['auto', 'cpu', 'cuda']),
    )
    .addOption(mergingOption())
    .addOption(weightsOption())
    .option('--overwrite', 'Overwrite existing label maps')
    .addOption(shardOption())
    .addOption(outputOption(['text', 'json', 'ndjson']))
    .action(async (options: Options, command) => {
      const { with: source, merging, toolArg, output, shard, ...rest } = options
      const note = organNotes(io)
      const labels = await withLogFolder(io, torchRuntime(), (context) =>
        labelOrgansAt(
          {
            ...rest,
            with: organSource('--with', source, io.cwd),
            images: resolve(io.cwd, rest.images),
            out: resolve(io.cwd, rest.out),
            ...(rest.labels === undefined ? {} : { labels: resolve(io.cwd, rest.labels) }),
            patchMerging: merging,
            toolArgs: toolArg,
            ...shardOf(shard, command),
            onCase: (progress) => {
              if (output === 'ndjson') printLine(io, 'organs', progress)
              note(progress)
            },
          },
          context,
          toolRunner,
        ),
      )
      if (output !== 'ndjson') printResult(io, 'organs', output, labels, () => organsText(labels))
      if (labels.failed.length + labels.leftOut.length > 0) io.exitWith(EXIT.data)
    })
}

/** Return the lines that sum up label maps. */
export function organsText({ directory, tool, version, cases, failed }: OrganLabels): string[] {
  const holes = cases.flatMap((one) => Object.values(one.holes))
  const sum = (key: 'count' | 'voxels'): number => holes.reduce((total, hole) => total + hole[key], 0)
  const by = version === null ? tool : `${tool} ${version.slice(0, 12)}`
  return [
    `${counted(cases.length, 'label map')} by ${by} in ${directory}, ${failed.length} failed`,
    `${counted(sum('count'), 'hole')} filled (${counted(sum('voxels'), 'voxel')})`,
  ]
}

function collected(argument: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, argument]
}

import { Option } from 'commander'
import type { SegmentRule } from '../../curation/dicom/segments.js'
import { EXIT, UsageError } from '../../errors.js'
import { convertDicomSeries, type DicomConversion } from '../../pipeline/data/convert.js'
import { type DicomSeries, segmentText } from '../../pipeline/data/dicom-report.js'
import { counted, lineOfOutput } from '../../plain-text.js'
import { dicomReader } from '../../runtime/dicom.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { LABEL_SCHEMES, labelIdOf, labelNameHint, type Region } from '../../volume/labels.js'
import { type CliIo, printResult } from '../output.js'
import { type AddCommand, outputOption, regionOption, withExample } from '../program.js'
import { caseProgress } from '../progress.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly out?: string
  readonly list?: true
  readonly series?: string[]
  readonly all?: true
  readonly map?: string[]
  readonly region?: Region
  readonly key?: string
  readonly output: 'text' | 'json'
}

/** `freetumor data convert` */
export const addDataConvert: AddCommand = (data, io) => {
  const command = withExample(
    data.command('convert'),
    'freetumor data convert pacs-export --out scans',
    'freetumor data convert pacs-export --list',
    'freetumor data convert pacs-export --out scans --series 3 --map "GTV=liver tumor" "Leber=liver"',
  )
    .description(
      'Convert DICOM series to NIfTI, with label maps from RTSTRUCT and SEG; resume an interrupted one',
    )
    .argument('<dir>', 'folder with DICOM files, also below it')
    .option('--out <dir>', 'Write imagesTr, labelsTr, dataset.json and report.csv here')
    .option('--list', 'List the series and write no output')
    .option('--series <id...>', 'Convert these series, by number or UID (default: one CT of each study)')
    .option('--all', 'Convert every usable CT series')
    .option('--map <segment=label...>', 'Label ROIs and segments by name, #number or SCHEME:CODE')
    .addOption(regionOption())
    .addOption(new Option('--key <file>', 'Set the key of the pseudonyms (default: a file of this user)'))
    .addOption(outputOption())
    .action(async (folder: string, options: Options) => await convert(io, folder, options))
  command.addHelpText(
    'after',
    '\nNeeds `freetumor setup --extra dicom`. Prints no text of the files but known words.',
  )
}

async function convert(io: CliIo, folder: string, options: Options): Promise<void> {
  const { output, map, ...rest } = options
  const rules = map?.map((text) => ruleOf(text, options.region ?? null))
  const report = caseProgress(io)
  const converted = await withLogFolder(io, torchRuntime(), (context) =>
    convertDicomSeries(
      folder,
      {
        ...rest,
        map: rules?.map(({ rule }) => rule),
        region: options.region ?? regionOfRules(rules ?? []),
        cwd: io.cwd,
        env: io.env,
        onFiles: (files) => io.note(`${files} files read`),
        onCase: report,
      },
      context,
      dicomReader(),
    ),
  )
  const { unreadable } = converted
  if (unreadable.length > 0)
    io.note(
      `warning: ${counted(unreadable.length, 'DICOM file')} cannot be read; first: file ${unreadable[0]!.file} in the order of paths: ${unreadable[0]!.reason}`,
    )
  printResult(io, 'data convert', output, converted, () => textOf(converted))
  if (!converted.complete) io.exitWith(EXIT.data)
}

interface NamedRule {
  readonly rule: SegmentRule
  readonly region: Region | null
}

/** Read `NAME=LABEL`; the label is a name or an id. */
function ruleOf(text: string, region: Region | null): NamedRule {
  const at = text.lastIndexOf('=')
  const [segment, label] = [text.slice(0, at).trim(), text.slice(at + 1).trim()]
  if (at < 0 || segment === '' || label === '')
    throw new UsageError(`--map: wrong rule (expected SEGMENT=LABEL, found ${text})`, {
      hint: 'write a rule such as "Leber=liver" or "#3=liver tumor"',
    })
  const id = /^\d+$/.test(label) ? Number(label) : labelIdOf(label, region)
  if (id === undefined || id === 0)
    throw new UsageError(`--map: unknown label (expected a label of the region, found ${label})`, {
      hint: labelNameHint(label, region),
    })
  return { rule: { segment, id }, region: /^\d+$/.test(label) ? null : regionOfLabel(label) }
}

function regionOfLabel(label: string): Region | null {
  const found = Object.values(LABEL_SCHEMES).find((scheme) => (labelIdOf(label, scheme.region) ?? 0) > 0)
  return found?.region ?? null
}

function regionOfRules(rules: readonly NamedRule[]): Region | undefined {
  const regions = [...new Set(rules.flatMap(({ region }) => region ?? []))]
  if (regions.length < 2) return regions[0]
  throw new UsageError('--map: its labels belong to the abdomen and to the chest', {
    hint: 'convert each region into a folder of its own, with its own rules',
  })
}

function textOf({ series, out, numCases, files, others, links }: DicomConversion): string[] {
  return [
    ...table(series),
    ...series.flatMap(segmentLines),
    ...(links > 0 ? [`${counted(links, 'link')} to folders not followed`] : []),
    out === null
      ? `${series.length} series in ${counted(files, 'DICOM file')}; ${counted(others, 'other file')}; nothing was written`
      : `${counted(numCases, 'case')} in ${out}; report.csv has every series`,
  ]
}

function table(series: readonly DicomSeries[]): string[] {
  const head = [
    'no.',
    'patient',
    'modality',
    'description',
    'phase',
    'kernel',
    'slices',
    'spacing (mm)',
    'outcome',
  ]
  const rows = series.map((one) => [
    String(one.number),
    one.patient,
    one.modality,
    one.description || '-',
    one.phase ?? '-',
    one.kernel || '-',
    String(one.slices ?? '-'),
    one.spacingMm?.map((mm) => String(Math.round(mm * 1000) / 1000)).join(' x ') ?? '-',
    [OUTCOMES[one.outcome], one.reason ?? one.image ?? one.label].filter((part) => part !== null).join(': '),
  ])
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]!.length)))
  return [head, ...rows].map((row) =>
    lineOfOutput(
      row
        .map((cell, at) => cell.padEnd(widths[at]!))
        .join('  ')
        .trimEnd(),
    ),
  )
}

const OUTCOMES: Readonly<Record<DicomSeries['outcome'], string>> = {
  listed: 'usable',
  converted: 'converted',
  reused: 'already converted',
  notChosen: 'not chosen',
  refused: 'refused',
}

function segmentLines({ number, segments, notes }: DicomSeries): string[] {
  return [
    ...(segments.length > 0 ? [`series ${number}: segments ${segments.map(segmentText).join(', ')}`] : []),
    ...notes.map((note) => `series ${number}: ${note}`),
  ]
}

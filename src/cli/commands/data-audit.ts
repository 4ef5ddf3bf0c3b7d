import { DEFAULT_CACHE } from '../../config/defaults.js'
import type { AuditPair, AuditReport } from '../../curation/audit/run.js'
import type { Shard } from '../../curation/datasets/shard.js'
import { EXIT } from '../../errors.js'
import { auditDataAt, type DataAudit } from '../../pipeline/data/audit.js'
import { defaultWorkers } from '../../pipeline/data/check.js'
import { counted } from '../../plain-text.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, paint, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { caseProgress } from '../progress.js'
import { shardOf, shardOption } from '../shard-option.js'
import { addSourceOptions, type SourceFlags, sourceOptions } from '../source-options.js'

interface Options extends SourceFlags {
  readonly out?: string
  readonly cache?: string
  readonly pictures: number
  readonly workers: number
  readonly shard?: Shard
  readonly output: 'text' | 'json'
}

/** `freetumor data audit` */
export const addDataAudit: AddCommand = (data, io) => {
  const added = withExample(
    data.command('audit'),
    'freetumor data audit split.json --out audit',
    'freetumor data audit training.json test.json',
    'freetumor data audit my-config.yaml --out audit',
  )
    .description('Find copies of one scan, patients in two folds and known overlaps; exit 6 on leaks')
    .argument(
      '<path...>',
      'manifests, data sets of any layout and configurations; all their cases are compared',
    )
  addSourceOptions(added)
    .option('--out <dir>', 'Write audit.html, with pictures of the pairs, and audit.json here')
    .option(
      '--cache <dir>',
      `Save fingerprints and the result here (default: prepare.cache of the configuration, else ${DEFAULT_CACHE})`,
    )
    .option('--pictures <n>', 'Show pictures of at most N pairs', wholeNumber(0), 40)
    .option(
      '--workers <n>',
      'Read N scans at a time, each in a thread with one volume in memory',
      wholeNumber(1),
      defaultWorkers(),
    )
    .addOption(shardOption())
    .addOption(outputOption())
    .action(async (paths: string[], options: Options, command) => {
      const audited = {
        ...sourceOptions(io, options),
        out: options.out,
        cache: options.cache,
        pictures: options.pictures,
        workers: options.workers,
        signal: io.signal,
        onCase: caseProgress(io),
        ...shardOf(options.shard, command),
        onCompared: (done: number, total: number) => {
          if (done % 100 === 0 || done === total) io.note(`${done}/${total} likely pairs compared`)
        },
      }
      const report = await auditDataAt(paths, audited, { runtime: torchRuntime(), note: io.note })
      const isShard = options.shard !== undefined
      printResult(io, 'data audit', options.output, report, () =>
        isShard ? [fingerprinted(report)] : auditText(report, io),
      )
      const exit = exitOfAudit(isShard ? { ...report, ok: true, complete: true } : report)
      if (exit !== EXIT.ok) io.exitWith(exit)
    })
}

/** Return the exit code of an audit. */
export function exitOfAudit({ ok, unreadable, complete }: DataAudit): number {
  if (!ok) return EXIT.leak
  return unreadable.length > 0 || !complete ? EXIT.data : EXIT.ok
}

function fingerprinted({ numCases, unreadable }: AuditReport): string {
  return `${numCases - unreadable.length} of ${numCases} cases have fingerprints; the merge compares all cases`
}

export function auditText({ numCases, pairs, unreadable }: AuditReport, io: CliIo): string[] {
  const leaks = pairs.filter(({ leak }) => leak).length
  const unread = unreadable.length > 0 ? `, ${unreadable.length} could not be read` : ''
  return [
    ...pairs.flatMap((pair) => linesOf(pair, io)),
    `${counted(numCases, 'case')}${unread}: ${counted(leaks, 'leak')}, ${counted(pairs.length - leaks, 'other pair')}`,
  ]
}

function linesOf({ kind, cases, sides, leak, message }: AuditPair, io: CliIo): string[] {
  const word = leak ? paint(io, 'red', 'leak') : paint(io, 'dim', 'pair')
  return [
    `${word} ${kind.padEnd(7)} ${cases[0]} (${sides[0]}) | ${cases[1]} (${sides[1]})`,
    `             ${message}`,
  ]
}

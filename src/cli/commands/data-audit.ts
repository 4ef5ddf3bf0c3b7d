import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { DEFAULT_CACHE } from '../../config/defaults.js'
import type { AuditPair, AuditReport } from '../../curation/audit/run.js'
import { curate, ownDatasets } from '../../curation/datasets/curate.js'
import { type ManifestCase, readManifest } from '../../curation/datasets/manifest.js'
import type { Dataset } from '../../curation/datasets/registry.js'
import { EXIT } from '../../errors.js'
import { auditNotes, runAudit } from '../../pipeline/prepare/audit.js'
import { configNamed, readConfig } from '../config-file.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, paint, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { caseProgress } from '../progress.js'

interface Options {
  readonly out?: string
  readonly cache?: string
  readonly pictures: number
  readonly workers: number
  readonly output: 'text' | 'json'
}

/** `freetumor data audit` */
export const addDataAudit: AddCommand = (data, io) => {
  withExample(
    data.command('audit'),
    'freetumor data audit split.json --out audit',
    'freetumor data audit training.json test.json',
    'freetumor data audit my-config.yaml --out audit',
  )
    .description('Find copies of one scan, patients in two folds and known overlaps; exit 6 on leaks')
    .argument('<manifest...>', 'manifests and configurations; all their cases are compared')
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
      Math.min(8, availableParallelism()),
    )
    .addOption(outputOption())
    .action(async (paths: string[], options: Options) => {
      const { cases, own, cache } = await whatToAudit(io, paths)
      const report = await runAudit(cases, {
        own,
        cache: resolve(io.cwd, options.cache ?? cache ?? DEFAULT_CACHE),
        out: options.out === undefined ? null : resolve(io.cwd, options.out),
        pictures: options.pictures,
        workers: options.workers,
        signal: io.signal,
        onCase: caseProgress(io),
        onCompared: (done, total) => {
          if (done % 100 === 0 || done === total) io.note(`${done}/${total} likely pairs compared`)
        },
      })
      for (const note of auditNotes(report)) io.note(`warning: ${note}`)
      printResult(io, 'data audit', options.output, report, () => describe(report, io))
      if (options.out !== undefined) io.note(`pictures: ${join(options.out, 'audit.html')}`)
      if (!report.ok) io.exitWith(EXIT.leak)
      else if (report.unreadable.length > 0) io.exitWith(EXIT.data)
    })
}

async function whatToAudit(
  io: CliIo,
  paths: readonly string[],
): Promise<{ cases: ManifestCase[]; own: Dataset[]; cache: string | null }> {
  const cases: ManifestCase[] = []
  const own: Dataset[] = []
  let cache: string | null = null
  for (const path of paths) {
    const configuration = configNamed(io, path)
    if (configuration !== null) {
      const config = await readConfig(io, configuration)
      cases.push(...(await curate(config.data, config.region)).cases)
      own.push(...ownDatasets(config.data))
      cache = config.prepare.cache
    } else cases.push(...(await readManifest(resolve(io.cwd, path))).cases)
  }
  return { cases, own, cache }
}

function describe({ numCases, pairs, unreadable }: AuditReport, io: CliIo): string[] {
  const leaks = pairs.filter(({ leak }) => leak).length
  const unread = unreadable.length > 0 ? `, ${unreadable.length} could not be read` : ''
  return [
    ...pairs.flatMap((pair) => linesOf(pair, io)),
    `${numCases} cases${unread}: ${leaks} leaks, ${pairs.length - leaks} other pairs`,
  ]
}

function linesOf({ kind, cases, sides, leak, message }: AuditPair, io: CliIo): string[] {
  const word = leak ? paint(io, 'red', 'leak') : paint(io, 'dim', 'pair')
  return [
    `${word} ${kind.padEnd(7)} ${cases[0]} (${sides[0]}) | ${cases[1]} (${sides[1]})`,
    `             ${message}`,
  ]
}

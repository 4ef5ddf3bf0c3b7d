import { casesOfShard, type Shard } from '../../curation/datasets/shard.js'
import { EXIT } from '../../errors.js'
import { estimatePreparation, type PrepareEstimate } from '../../pipeline/prepare/estimate.js'
import {
  type CaseProgress,
  casesToPrepare,
  curateData,
  type PrepareReport,
  prepareCurated,
} from '../../pipeline/prepare/run.js'
import { counted } from '../../plain-text.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { readConfig } from '../config-file.js'
import { paint, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { durationOf } from '../progress.js'
import { shardOf, shardOption } from '../shard-option.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly config: string
  readonly set?: string[]
  readonly estimate?: true
  readonly shard?: Shard
  readonly output: 'text' | 'json'
}

/** `freetumor prepare`: build or update the cache of a configuration. */
export const addPrepareCommand: AddCommand = (program, io) => {
  withExample(
    program.command('prepare'),
    'freetumor prepare --config configs/debug-baseline.yaml',
    'freetumor prepare --config my-run.yaml --estimate',
  )
    .description('Prepare the cases of a configuration; reuse valid cases of the cache')
    .requiredOption(
      '--config <file>',
      'Read this run configuration: a file, or the name of a shipped configuration',
    )
    .option('--set <key=value...>', 'Replace values of the configuration')
    .option('--estimate', 'Print the estimated size, time and memory, and prepare nothing')
    .addOption(shardOption())
    .addOption(outputOption())
    .action(async (options: Options, command) => {
      const config = await readConfig(io, options.config, options.set)
      await withLogFolder(io, torchRuntime({ python: config.runtime.python }), async (context) => {
        const curation = await curateData(config, context)
        const cases = casesToPrepare(curation.cases)
        const { reviews } = curation
        const { shard } = shardOf(options.shard, command)
        const mine = shard === undefined ? cases : casesOfShard(cases, shard)
        const estimate = await estimatePreparation(config, mine)
        if (options.estimate) {
          printResult(io, 'prepare --estimate', options.output, estimate, () =>
            describe(estimate, config.prepare.workers),
          )
          return
        }
        io.note(describe(estimate, config.prepare.workers).join('\n'))
        const started = performance.now()
        const noteCase: CaseProgress = (done, total, caseId, result) => {
          if ('message' in result) io.note(`${paint(io, 'red', 'failed')} ${caseId}: ${result.message}`)
          else io.note(`${done}/${total} ${caseId} ${result.reused ? 'reused' : seconds(result.seconds)}`)
        }
        const report = await prepareCurated(config, { cases, reviews }, context, {
          onProgress: noteCase,
          shard,
        })
        const wallSeconds = (performance.now() - started) / 1000
        printResult(io, 'prepare', options.output, { ...report, wallSeconds, estimate }, () => [
          conclude(report, wallSeconds),
        ])
        if (report.failed.length > 0) io.exitWith(exitOfFailed(report))
        else if (curation.leftOut.length > 0) io.exitWith(EXIT.data)
      })
    })
}

function describe(estimate: PrepareEstimate, workers: number): string[] {
  const { cases, cached, unreadable, bytesAtMost, freeBytes, secondsAbout, memoryBytesPerWorker } = estimate
  const tight = bytesAtMost > freeBytes ? ': TOO LITTLE unless cropping removes much' : ''
  return [
    `${counted(cases, 'case')}, ${cached} in the cache${unreadable > 0 ? `, ${unreadable} unreadable` : ''}`,
    `other cases: at most ${gigabytes(bytesAtMost)} of ${gigabytes(freeBytes)} free${tight}, about ${durationOf(secondsAbout)} with ${workers} workers of up to ${gigabytes(memoryBytesPerWorker)} memory each`,
  ]
}

/** Return the exit code for failed cases: a full disk is a fault of the machine, not of the cases. */
export function exitOfFailed({ failed }: PrepareReport): number {
  return failed.every(({ error }) => error.kind === 'environment') ? EXIT.environment : EXIT.data
}

function conclude(
  { prepared, reused, failed, bytes, directory }: Omit<PrepareReport, 'reviews'>,
  wallSeconds: number,
): string {
  const each = prepared > 0 ? ` (${seconds(wallSeconds / prepared)} per case)` : ''
  return `${prepared} prepared, ${reused} reused, ${failed.length} failed; ${gigabytes(bytes)} in ${directory}; ${durationOf(wallSeconds)}${each}`
}

function gigabytes(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`
}

function seconds(value: number): string {
  return `${value.toFixed(1)} s`
}

import { EXIT } from '../../errors.js'
import { type Merged, type MergedResult, mergeShardsAt } from '../../pipeline/flows/merge.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import { evaluationText } from '../evaluation-text.js'
import { type CliIo, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { withLogFolder } from '../stage-context.js'
import { auditText, exitOfAudit } from './data-audit.js'
import { checkText } from './data-check.js'
import { organsText } from './organs.js'
import { exitOfFailed } from './prepare.js'
import { noteEmpty, synthesisText } from './synthesize.js'

interface Options {
  readonly allowEmpty?: boolean
  readonly output: 'text' | 'json'
}

/** `freetumor merge`: join the results of the shards of a command. */
export const addMergeCommand: AddCommand = (program, io) => {
  withExample(program.command('merge'), 'freetumor merge synthetic', 'freetumor merge my-run.yaml')
    .description('Merge the results of all shards; the files are those of a command without shards')
    .argument(
      '<path>',
      'output folder of a command with --shard; for prepare, its configuration or prepare.cache',
    )
    .option('--allow-empty', 'Accept a synthetic data set without accepted tumors (default: exit 3)')
    .addOption(outputOption())
    .action(async (path: string, options: Options) => {
      const merged = await withLogFolder(io, torchRuntime(), (context) =>
        mergeShardsAt(path, context, io.cwd),
      )
      printResult(io, 'merge', options.output, merged, () => [
        `merged ${merged.shards} shards of ${merged.command} in ${merged.directory}`,
        ...textOf(merged, io),
      ])
      if (merged.command === 'synthesize' && merged.result.tumors.kept === 0) noteEmpty(io, merged.result)
      const exit = exitOf(merged, options.allowEmpty ?? false)
      if (exit !== EXIT.ok) io.exitWith(exit)
    })
}

function textOf(merged: MergedResult, io: CliIo): readonly string[] {
  const { command, result } = merged
  switch (command) {
    case 'prepare':
      return [
        `${result.prepared} prepared, ${result.reused} reused, ${result.failed.length} failed; in ${result.directory}`,
        ...failedLines(result.failed),
      ]
    case 'data check':
      return checkText(result, io).split('\n')
    case 'data audit':
      return auditText(result, io)
    case 'synthesize':
      return [...synthesisText(result), ...failedLines(result.failed)]
    case 'predict':
      return [
        `${result.cases.length} masks in ${result.directory}, ${result.failed.length} failed`,
        ...failedLines(result.failed),
      ]
    case 'organs':
      return [...organsText(result), ...failedLines(result.failed)]
    case 'evaluate':
      return [
        ...evaluationText(result, merged.region === null ? [] : LABEL_SCHEMES[merged.region].names),
        ...failedLines(result.failed),
      ]
  }
}

function failedLines(
  failed: readonly { readonly caseId: string; readonly error: { readonly message: string } }[],
): string[] {
  return failed.map(({ caseId, error }) => `failed ${caseId}: ${error.message}`)
}

/** Return the exit code of the command without shards. */
function exitOf({ command, result }: Merged, allowEmpty: boolean): number {
  switch (command) {
    case 'prepare':
      return result.failed.length > 0 ? exitOfFailed(result) : EXIT.ok
    case 'data check':
      return result.ok ? EXIT.ok : EXIT.data
    case 'data audit':
      return exitOfAudit(result)
    default: {
      const isEmpty = command === 'synthesize' && result.tumors.kept === 0 && !allowEmpty
      return isEmpty || result.failed.length + result.leftOut.length > 0 ? EXIT.data : EXIT.ok
    }
  }
}

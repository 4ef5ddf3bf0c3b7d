import { resolve } from 'node:path'
import { EXIT } from '../../errors.js'
import { counted, lineOfOutput } from '../../plain-text.js'
import { keyFolder } from '../../provenance/keys.js'
import { type Verification, type VerifiedFile, verifyScans } from '../../provenance/verify.js'
import { type CliIo, type OutputFormat, paint, printLine, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly manifest?: string
  readonly output: OutputFormat
}

/** `freetumor verify PATH` */
export const addVerifyCommand: AddCommand = (program, io) => {
  withExample(
    program.command('verify'),
    'freetumor verify synthetic',
    'freetumor verify case_1_v000.nii.gz --manifest synthetic/provenance.json',
  )
    .description('Verify marks and signatures of synthetic scans; exit 3 unless all are authentic')
    .argument('<path>', 'NIfTI file, or folder with NIfTI files')
    .option(
      '--manifest <file>',
      'Use the manifest of another folder (default: provenance.json there or above)',
    )
    .addOption(outputOption(['text', 'json', 'ndjson']))
    .action(async (path: string, options: Options) => {
      const { output } = options
      const manifest = options.manifest === undefined ? undefined : resolve(io.cwd, options.manifest)
      const onFile =
        output === 'json'
          ? undefined
          : (file: VerifiedFile): void => {
              if (output === 'ndjson') printLine(io, 'verify', file)
              else if (file.state !== 'authentic') io.print(lineOfOutput(lineOf(io, file)))
            }
      const keys = keyFolder(io.env)
      const found = await verifyScans(resolve(io.cwd, path), { manifest, keys, onFile, signal: io.signal })
      if (output !== 'ndjson') printResult(io, 'verify', output, found, () => [summaryOf(found)])
      const { altered, unsigned, unmarked } = found.counts
      if (altered + unsigned + unmarked > 0) io.exitWith(EXIT.data)
    })
}

function lineOf(io: CliIo, { path, state, reason }: VerifiedFile): string {
  const color = state === 'altered' ? 'red' : 'yellow'
  return `${paint(io, color, state)}  ${path}: ${reason}`
}

function summaryOf({ counts }: Verification): string {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
  const states = Object.entries(counts).map(([state, count]) => `${count} ${state}`)
  return `${counted(total, 'file')}: ${states.join(', ')}`
}

import { stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../../errors.js'
import { checkNode } from '../../pipeline/nodes.js'
import { type DoctorCheck, type DoctorReport, runDoctor } from '../../runtime/doctor.js'
import { cannotBeRead } from '../../system-errors.js'
import { readExit, writeExit } from '../../training/run-directory.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, type OutputFormat, printResult } from '../output.js'
import { outputOption, withExample } from '../program.js'

interface Options {
  readonly python?: string
  readonly run?: string
  readonly nodes: number
  readonly nodeRank: number
  readonly rendezvous?: string
  readonly output: OutputFormat
}

/** `freetumor doctor`: check this machine; exit 4 if something is missing. */
export function addDoctorCommand(program: Command, io: CliIo): void {
  const command = program
    .command('doctor')
    .description('Check versions, devices, memory, ports, disk and an all-reduce of two ranks')
    .option('--python <path>', 'Check this Python (default: the Python that commands use)')
    .option('--run <dir>', 'Check for the job of this run directory; record a fault in its exit.json')
    .option('--nodes <n>', 'Check together with other nodes; each runs this command', wholeNumber(1), 1)
    .option('--node-rank <r>', 'Set the number of this node, from 0', wholeNumber(0), 0)
    .option('--rendezvous <host:port>', 'Set the rendezvous: an address of node 0')
    .addOption(outputOption())
    .action(async (options: Options) => {
      const { output, python, run, nodes, nodeRank, rendezvous = null } = options
      checkNode(nodes, nodeRank, rendezvous)
      const folder = run === undefined ? undefined : await runFolder(resolve(io.cwd, run))
      const report = await runDoctor({
        ...(python === undefined ? {} : { python }),
        ...(folder === undefined ? {} : { folder }),
        place: rendezvous === null ? null : { nodes, nodeRank, rendezvous },
        cwd: io.cwd,
        env: io.env,
        signal: io.signal,
      })
      if (folder !== undefined && !report.ok) await recordFault(folder, nodeRank, report)
      printResult(io, 'doctor', output, report, () => report.checks.flatMap(describe))
      if (!report.ok) io.exitWith(EXIT.environment)
    })
  withExample(command, 'freetumor doctor', 'freetumor doctor --output json')
}

/** @throws UsageError if the folder is missing */
async function runFolder(directory: string): Promise<string> {
  const code = await stat(directory).then(
    (found) => (found.isDirectory() ? null : 'ENOTDIR'),
    (error: NodeJS.ErrnoException) => error.code,
  )
  if (code === null) return directory
  throw new UsageError(cannotBeRead(directory, code, 'run directory'), {
    hint: 'name the --out of `freetumor train` or `freetumor submit`',
  })
}

/** Record why a job cannot train on this node, where `runs show` finds it. */
async function recordFault(directory: string, nodeRank: number, { checks }: DoctorReport): Promise<void> {
  const faults = checks.filter(({ ok }) => !ok)
  const words = faults.map(({ id, detail, fix }) => `${id}: ${detail} (${fix})`).join('; ')
  const reason = `node ${nodeRank} (${hostname()}) cannot train: ${words}`
  const step = (await readExit(directory))?.step ?? 0
  await writeExit(directory, { outcome: 'failed', reason, step, exitCode: EXIT.environment })
}

function describe(check: DoctorCheck): string[] {
  const line = `${check.ok ? 'ok     ' : 'MISSING'} ${check.id.padEnd(13)} ${check.detail}`
  return check.fix === null ? [line] : [line, `${' '.repeat(22)}fix: ${check.fix}`]
}

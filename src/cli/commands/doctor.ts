import type { Command } from 'commander'
import { EXIT } from '../../errors.js'
import { type DoctorCheck, runDoctor } from '../../runtime/doctor.js'
import { type CliIo, type OutputFormat, printResult } from '../output.js'
import { outputOption, withExample } from '../program.js'

/** `freetumor doctor`: check this machine; exit 4 if something is missing. */
export function addDoctorCommand(program: Command, io: CliIo): void {
  const command = program
    .command('doctor')
    .description('Check versions, devices, memory, ports, disk and an all-reduce of two ranks')
    .option('--python <path>', 'Check this Python (default: the Python that commands use)')
    .addOption(outputOption())
    .action(async (options: { python?: string; output: OutputFormat }) => {
      const { output, ...rest } = options
      const report = await runDoctor({ ...rest, cwd: io.cwd, env: io.env, signal: io.signal })
      printResult(io, 'doctor', output, report, () => report.checks.flatMap(describe))
      if (!report.ok) io.exitWith(EXIT.environment)
    })
  withExample(command, 'freetumor doctor', 'freetumor doctor --output json')
}

function describe(check: DoctorCheck): string[] {
  const line = `${check.ok ? 'ok     ' : 'MISSING'} ${check.id.padEnd(13)} ${check.detail}`
  return check.fix === null ? [line] : [line, `${' '.repeat(22)}fix: ${check.fix}`]
}

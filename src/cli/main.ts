#!/usr/bin/env node
import { addDoctorCommand } from './commands/doctor.js'
import { addSetupCommand } from './commands/setup.js'
import { processIo } from './process-io.js'
import { type AddCommand, runProgram } from './program.js'

/** The commands, in the order of `freetumor --help`. */
const COMMANDS: readonly AddCommand[] = [addSetupCommand, addDoctorCommand]

process.exitCode = await runProgram(COMMANDS, process.argv.slice(2), processIo())

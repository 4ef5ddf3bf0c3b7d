#!/usr/bin/env node
import { COMMANDS } from './commands/all.js'
import { processIo } from './process-io.js'
import { runProgram } from './program.js'

process.exitCode = await runProgram(COMMANDS, process.argv.slice(2), processIo())

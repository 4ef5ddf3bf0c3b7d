#!/usr/bin/env node
import { commandsFor } from './commands/all.js'
import { processIo } from './process-io.js'
import { runProgram } from './program.js'

const argv = process.argv.slice(2)
process.exitCode = await runProgram(await commandsFor(argv), argv, processIo())

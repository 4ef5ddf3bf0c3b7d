#!/usr/bin/env node
import { addCheckpointCommand } from './commands/checkpoint.js'
import { addConfigCommand } from './commands/config.js'
import { addDataCommand } from './commands/data.js'
import { addDemoCommand } from './commands/demo.js'
import { addDoctorCommand } from './commands/doctor.js'
import { addEvaluateCommand } from './commands/evaluate.js'
import { addInitCommand } from './commands/init.js'
import { addLaunchCommand } from './commands/launch.js'
import { addPhantomCommand } from './commands/phantom.js'
import { addPlanCommand } from './commands/plan.js'
import { addPredictCommand } from './commands/predict.js'
import { addPrepareCommand } from './commands/prepare.js'
import { addReportCommand } from './commands/report.js'
import { addRunsCommand } from './commands/runs.js'
import { addSetupCommand } from './commands/setup.js'
import { addSimulateCommand } from './commands/simulate.js'
import { addSweepCommand } from './commands/sweep.js'
import { addSynthesizeCommand } from './commands/synthesize.js'
import { addTrainCommand } from './commands/train.js'
import { processIo } from './process-io.js'
import { type AddCommand, runProgram } from './program.js'

/** The commands, in the order of `freetumor --help`. */
const COMMANDS: readonly AddCommand[] = [
  addSetupCommand,
  addDoctorCommand,
  addDemoCommand,
  addPhantomCommand,
  addInitCommand,
  addConfigCommand,
  addDataCommand,
  addPrepareCommand,
  addSimulateCommand,
  addPlanCommand,
  addTrainCommand,
  addLaunchCommand,
  addRunsCommand,
  addSynthesizeCommand,
  addSweepCommand,
  addPredictCommand,
  addCheckpointCommand,
  addEvaluateCommand,
  addReportCommand,
]

process.exitCode = await runProgram(COMMANDS, process.argv.slice(2), processIo())

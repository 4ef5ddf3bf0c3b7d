import type { AddCommand } from '../program.js'
import { addCheckpointCommand } from './checkpoint.js'
import { addConfigCommand } from './config.js'
import { addDataCommand } from './data.js'
import { addDemoCommand } from './demo.js'
import { addDoctorCommand } from './doctor.js'
import { addEvaluateCommand } from './evaluate.js'
import { addExportCommand } from './export.js'
import { addInitCommand } from './init.js'
import { addLaunchCommand } from './launch.js'
import { addMergeCommand } from './merge.js'
import { addPhantomCommand } from './phantom.js'
import { addPlanCommand } from './plan.js'
import { addPredictCommand } from './predict.js'
import { addPrepareCommand } from './prepare.js'
import { addReportCommand } from './report.js'
import { addReviewsCommand } from './reviews.js'
import { addRunsCommand } from './runs.js'
import { addSetupCommand } from './setup.js'
import { addSimulateCommand } from './simulate.js'
import { addStudioCommand } from './studio.js'
import { addSubmitCommand } from './submit.js'
import { addSweepCommand } from './sweep.js'
import { addSynthesizeCommand } from './synthesize.js'
import { addTrainCommand } from './train.js'

/** The commands, in the order of `freetumor --help`. */
export const COMMANDS: readonly AddCommand[] = [
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
  addSubmitCommand,
  addRunsCommand,
  addStudioCommand,
  addSynthesizeCommand,
  addSweepCommand,
  addReviewsCommand,
  addPredictCommand,
  addCheckpointCommand,
  addExportCommand,
  addEvaluateCommand,
  addMergeCommand,
  addReportCommand,
]

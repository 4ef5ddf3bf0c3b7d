/** Measure whether shrunk real tumors find more early tumors than painted ones: scripts/experiments/shrunk-tumors. */
import { runEarly } from './early-command.js'
import { SHRUNK_PLAN } from './early-plan.js'

await runEarly(
  'shrunk-tumors',
  'Do real tumors, shrunk in their own patient, find more early tumors than painted ones?',
  SHRUNK_PLAN,
)

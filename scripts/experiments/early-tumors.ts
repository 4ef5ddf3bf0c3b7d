/** Measure whether synthesis aimed at missed sizes finds more early tumors: scripts/experiments/early-tumors. */
import { runEarly } from './early-command.js'
import { EARLY_PLAN } from './early-plan.js'

await runEarly('early-tumors', 'Does synthesis aimed at missed sizes find more early tumors?', EARLY_PLAN)

/** Measure whether synthesis aimed at missed sizes finds more early tumors: scripts/experiments/early-tumors. */
import { runEarlyCell } from './early-cell.js'
import { writeEarlyPage } from './early-page.js'
import { EARLY_PLAN } from './early-plan.js'
import { concludeEarly } from './early-verdict.js'
import { runFrozen } from './frozen-command.js'

await runFrozen({
  name: 'early-tumors',
  question:
    'Does synthesis aimed at missed sizes find more early tumors? Trains all arms on phantoms, at matched false positives.',
  plan: EARLY_PLAN,
  runCell: runEarlyCell,
  reportPilot: async (out, frozen, cells) => [
    await writeEarlyPage(out, frozen, cells, concludeEarly(frozen.plan, cells)),
  ],
  writePage: (out, frozen, cells) => writeEarlyPage(out, frozen, cells, concludeEarly(frozen.plan, cells)),
})

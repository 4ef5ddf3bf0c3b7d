/** Measure how many healthy scans stay free of predicted lesions, with and without hard negatives: scripts/experiments/silent-scans. */
import { runFrozen } from './frozen-command.js'
import { runSilentCell } from './silent-cell.js'
import { writeSilentPage } from './silent-page.js'
import { SILENT_PLAN } from './silent-plan.js'
import { writeSilentPower } from './silent-power.js'
import { concludeSilent } from './silent-verdict.js'

await runFrozen({
  name: 'silent-scans',
  question:
    'Do hard negatives silence healthy scans? Trains all arms on phantoms, and fits an operating point to each.',
  plan: SILENT_PLAN,
  runCell: runSilentCell,
  reportPilot: async (out, frozen, cells) => [
    ...(cells.length > 0 ? [await writeSilentPower(out, frozen.plan, cells)] : []),
    await writeSilentPage(out, frozen, cells, concludeSilent(frozen.plan, cells)),
  ],
  writePage: (out, frozen, cells) => writeSilentPage(out, frozen, cells, concludeSilent(frozen.plan, cells)),
})

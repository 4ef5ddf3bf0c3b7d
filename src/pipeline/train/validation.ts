import type { RunConfig } from '../../config/schema.js'
import type { ValidationEvent } from '../../training/events.js'
import type { RunJournal } from '../../training/journal.js'
import { bestOf, reasonToEnd, selectTumorDice, type Validation } from '../../training/selection.js'
import type { RuntimeEvent, ValidationVerdict } from '../ports/training.js'
import { trainingLabels } from '../training-labels.js'

export type CountedCase = Extract<RuntimeEvent, { type: 'validationCase' }>

/** The result of a validation: its event, and whether the run continues. */
interface JudgedValidation {
  readonly event: Omit<ValidationEvent, 'time'>
  readonly verdict: ValidationVerdict
}

/** Judge the voxel counts of all validation cases (docs/method.md 10) against the validations `before`. */
function judgeValidation(
  config: RunConfig,
  step: number,
  cases: readonly CountedCase[],
  before: readonly Validation[],
): JudgedValidation {
  const { names, tumorIds } = trainingLabels(config)
  const counts = cases.map((one) => one.counts)
  const { tumorDice, diceByLabel } = selectTumorDice(counts, tumorIds)
  const history = [...before, { step, tumorDice }]
  const best = bestOf(history)?.step === step
  const byName = Object.entries(diceByLabel).map(([id, dice]) => [`dice/${names[Number(id)]}`, dice])
  return {
    event: { type: 'validation', step, tumorDice, diceByLabel, numCases: cases.length, best },
    verdict: {
      type: 'validationVerdict',
      measures: { ...Object.fromEntries(byName), ...(tumorDice === null ? {} : { tumorDice }) },
      endReason: reasonToEnd(history, config.training.earlyStop),
    },
  }
}

/** Judge a validation; record it before the verdict is sent, so that a killed run finds it in its log. */
export async function recordValidation(
  config: RunConfig,
  step: number,
  cases: readonly CountedCase[],
  journal: RunJournal,
): Promise<ValidationVerdict> {
  const { event, verdict } = judgeValidation(config, step, cases, journal.validations)
  journal.validations.push(event)
  journal.emit(event)
  await journal.flush()
  return verdict
}

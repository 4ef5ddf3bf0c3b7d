import { z } from 'zod'
import { key } from '../key.js'
import { OURS } from '../sources.js'
import { type DeepReadonly, natural } from '../types.js'

export const reportSection = z.strictObject({
  pictures: key(
    natural.max(64),
    'Number of example pictures of synthetic tumors in the report; 0 makes none.',
    'A training spreads them over its steps and adds the first tumors of each kind; offline synthesis pictures this number of hosts.',
    { unit: 'pictures', default: 6, source: OURS },
  ),
})

/** The report of a run. */
export type ReportSection = DeepReadonly<z.infer<typeof reportSection>>

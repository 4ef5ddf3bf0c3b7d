import { z } from 'zod'

const labelMeasures = z.object({
  label: z.number(),
  truePositive: z.number(),
  falsePositive: z.number(),
  falseNegative: z.number(),
  nsd: z.number().nullable(),
})

const lesionMeasures = z.object({
  kind: z.enum(['true', 'falsePositive']),
  label: z.number(),
  volumeMl: z.number(),
  diameterMm: z.number(),
  detected: z.boolean(),
})

const caseMeasures = z.object({
  grid: z.enum(['original', 'resampled']),
  spacingMm: z.tuple([z.number(), z.number(), z.number()]),
  labels: z.array(labelMeasures),
  lesions: z.array(lesionMeasures),
})

/** What the runtime measured of one case. */
export type CaseMeasures = Readonly<z.infer<typeof caseMeasures>> & { readonly caseId: string }
export type LabelMeasures = CaseMeasures['labels'][number]

export function parseCaseMeasures(caseId: string, result: unknown): CaseMeasures {
  return { caseId, ...caseMeasures.parse(result) }
}

/** A mean over cases with the 95 % interval of a bootstrap over cases. */
export interface Figure {
  readonly mean: number
  readonly ci: readonly [number, number]
  readonly n: number
}

/** The content of `summary.json`. */
export interface Summary {
  readonly profile: string
  readonly grid: 'original' | 'prepared' | 'resampled'
  readonly numCases: number
  /** By label id. A label that occurs in no case has no figure. */
  readonly classes: Readonly<Record<string, { readonly dice?: Figure; readonly nsd?: Figure }>>
  /** Over the cases that the profile counts; all tumor ids of a case averaged. Null when there is none. */
  readonly tumorDice: Figure | null
  /** Mean over cases of the mean Dice over the classes present: the one number of `voco`. */
  readonly meanDice: Figure | null
  readonly lesions: {
    readonly sensitivity: number | null
    readonly precision: number | null
    readonly f1: number | null
    readonly numTrue: number
    readonly numFalsePositive: number
  } | null
}

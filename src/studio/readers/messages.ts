/** Facts of a study for the browser of a reader. They hold the truth of examples only. */
export interface ReaderSession {
  readonly reader: string
  /** Voxels along right, anterior and superior; int16 HU with the low byte first, right is the fastest. */
  readonly shape: readonly [number, number, number]
  readonly spacingMm: number
  /** Null: no limit. */
  readonly timeLimitSeconds: number | null
  /** Cases that the reader sees, repeats included. */
  readonly total: number
  readonly answered: number
  readonly examples: readonly {
    readonly truth: 'real' | 'synthetic'
    readonly lesionMm: readonly [number, number, number]
  }[]
}

/** The page shows a case now. */
export interface StartedCase {
  /** Null: no limit. The time runs on when the page is loaded again. */
  readonly secondsLeft: number | null
}

export interface NewAnswer {
  /** Place in the order of the reader, from 1. */
  readonly position: number
  readonly answer: 'real' | 'synthetic'
  readonly confidence: number
  /** The middle of the volume is 0 0 0; null: the reader saw no lesion. */
  readonly clickMm: readonly [number, number, number] | null
  readonly seconds: number
}

export interface RecordedAnswer {
  readonly answered: number
}

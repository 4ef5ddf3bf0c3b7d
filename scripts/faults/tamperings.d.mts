/** A signed synthetic data set that is tampered with. */
export interface TamperedSet {
  readonly folder: string
  /** A real scan of the same grid. */
  readonly host: string
  /** Return a number from 0 to below `limit`. */
  random(limit: number): number
  signAsStranger(): unknown
  revokeKey(): unknown
}

interface Change {
  readonly name: string
  apply(set: TamperedSet): unknown
}

export const TAMPERINGS: readonly (Change & {
  /** Matches a reason that must be reported. */
  readonly where: RegExp
})[]

export const ALLOWED: readonly Change[]

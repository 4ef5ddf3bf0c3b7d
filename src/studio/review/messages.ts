/** `synthetic`: a synthetic data set; the others are the results of `evaluate`, `data audit` and `data check`. */
export type CollectionKind = 'synthetic' | 'evaluation' | 'audit' | 'check'

/** A folder or file with results that the viewer shows. */
export interface CollectionRow {
  /** Names the collection in requests; derived from its path. */
  readonly id: string
  readonly kind: CollectionKind
  readonly name: string
  /** The folder; of a check, its file. */
  readonly path: string
  /** Time of the last change, ISO 8601. */
  readonly changed: string
}

export interface CollectionList {
  readonly collections: readonly CollectionRow[]
  /** Collections that are not listed, because the list is full. */
  readonly unlisted: number
  readonly folders: readonly string[]
}

/** A column of texts: each distinct text once, and the index of the text of each item. */
export interface TextColumn {
  readonly values: readonly string[]
  readonly codes: readonly number[]
}

/** The items of a collection in columns. */
export interface ItemTable {
  readonly kind: CollectionKind
  readonly path: string
  /** Changes when items change their numbers. */
  readonly revision: string
  readonly count: number
  /** Items that are not listed, because there are too many. */
  readonly unlisted: number
  /** Lines of files that could not be read. */
  readonly damagedLines: number
  readonly texts: Readonly<Record<string, TextColumn>>
  /** Null where an item has no value. */
  readonly numbers: Readonly<Record<string, readonly (number | null)[]>>
  /** File of the decisions; null if this collection or server accepts none. */
  readonly reviews: string | null
}

/** One item, with what the viewer needs to show it. */
export interface ItemDetail {
  readonly at: number
  readonly facts: readonly (readonly [name: string, value: string])[]
  readonly layers: readonly Layer[]
  /** The place to look at; null if unknown. */
  readonly place: Place | null
  /** Value of this tumor in the volume `tumors`; null without one. */
  readonly tumorId: number | null
  /** Names of the ids of label maps. */
  readonly labels: readonly LabelName[]
  /** Position of the low corner of the second scan in the first one; of audit pairs only, null if unknown. */
  readonly offsetMm?: readonly [number, number, number] | null
}

export type LayerRole = 'host' | 'synthetic' | 'label' | 'tumors' | 'prediction' | 'scan' | 'first' | 'second'

/** A volume of an item. */
export interface Layer {
  readonly role: LayerRole
  /** Name of the file, without folders. */
  readonly name: string
  /** Equal keys are equal files; null if the file is missing. */
  readonly key: string | null
  readonly bytes: number
  /** Why there is no file, and what to do. */
  readonly missing: { readonly message: string; readonly hint: string } | null
}

export interface Place {
  /** RAS millimetres. */
  readonly centreMm: readonly [number, number, number]
  /** Longest side of the object. */
  readonly sizeMm: number
}

export interface LabelName {
  readonly id: number
  readonly name: string
  readonly tumor: boolean
}

/** The decisions on a collection. */
export interface Reviews {
  /** Changes with the decisions. */
  readonly version: string
  readonly file: string
  readonly decisions: readonly ItemDecision[]
  /** Decisions on tumors that are not in the list. */
  readonly elsewhere: number
  readonly agreement: AgreementFigure | null
}

export interface ItemDecision {
  readonly at: number
  readonly joint: 'accept' | 'reject' | 'undecided'
  readonly votes: readonly {
    readonly reviewer: string
    readonly decision: 'accept' | 'reject'
    readonly reason: string | null
  }[]
  /** True: the decisions are on another version of the synthetic file, and have no effect. */
  readonly stale: boolean
}

export interface AgreementFigure {
  /** `Cohen` for two reviewers, `Fleiss` for more. */
  readonly method: 'Cohen' | 'Fleiss'
  readonly kappa: number | null
  readonly ci: readonly [number, number] | null
  /** Fraction of agreeing pairs of ratings; null without an item. */
  readonly observed: number | null
  /** Tumors that at least two reviewers decided on. */
  readonly items: number
  readonly reviewers: number
}

/** A decision of a reviewer, as the page sends it. */
export interface NewDecision {
  readonly revision: string
  readonly at: number
  readonly reviewer: string
  readonly decision: 'accept' | 'reject' | 'undo'
  readonly reason: string | null
  readonly seconds: number
}

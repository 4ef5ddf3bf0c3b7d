import type { Columns } from './columns.js'
import type { CollectionKind } from './messages.js'
import type { OpenItem } from './places.js'

/** Most items of a collection. */
export const MAX_ITEMS = 200_000

/** Results that the viewer shows: their items, and the files of each item. */
export interface Collection {
  readonly kind: CollectionKind
  /** The folder; of a check, its file. */
  readonly path: string
  /** The given folder that it lies in. */
  readonly root: string
  readonly columns: Columns
  /** Changes when items change their numbers. */
  readonly revision: string
  readonly unlisted: number
  readonly damagedLines: number
  /** Read what is new. @throws DataError if the files cannot be read */
  poll(): Promise<void>
  /** Return an item by its number. @throws DataError */
  item(at: number): Promise<OpenItem>
  close(): Promise<void>
}

export interface PlacedCollection {
  readonly id: string
  readonly kind: CollectionKind
  readonly root: string
  readonly path: string
}

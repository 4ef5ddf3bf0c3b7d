import type {
  CollectionList,
  ItemDetail,
  ItemTable,
  Layer,
  NewDecision,
  Reviews,
} from '../../review/messages.js'
import { json, post, request } from '../server.js'
import { decodeVolume, type LoadedVolume } from './volume.js'

/** Decoded volumes that are kept for the next items. */
const KEPT_BYTES = 1.5 * 2 ** 30

export const readCollections = (): Promise<CollectionList> => json('/api/collections')
export const readTable = (id: string): Promise<ItemTable> => json(`/api/collections/${id}`)

/** Return the decisions; null if they have the known version. */
export const readDecisions = (id: string, known: string): Promise<Reviews | null> =>
  json(`/api/collections/${id}/reviews?known=${encodeURIComponent(known)}`)

export const sendDecision = (id: string, decision: NewDecision): Promise<unknown> =>
  post(`/api/collections/${id}/reviews`, decision)

/** Offer the decisions of a collection as a CSV file. */
export async function saveCsv(id: string): Promise<void> {
  const blob = await (await request(`/api/collections/${id}/reviews.csv`)).blob()
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = 'reviews.csv'
  link.click()
  URL.revokeObjectURL(link.href)
}

/** Items and volumes of a collection; what was read is kept. */
export class ItemData {
  readonly #items = new Map<number, Promise<ItemDetail>>()
  /** The last used volume is the last one. */
  readonly #volumes = new Map<string, Promise<LoadedVolume>>()
  readonly #bytes = new Map<string, number>()

  constructor(
    private readonly id: string,
    private readonly revision: string,
  ) {}

  item(at: number): Promise<ItemDetail> {
    const known = this.#items.get(at)
    if (known !== undefined) return known
    const item = json<ItemDetail>(`${this.#path(at)}?revision=${encodeURIComponent(this.revision)}`)
    this.#items.set(at, item)
    // another attempt may succeed, and a missing host may be there by then
    const isWhole = item.then(({ layers }) => layers.every(({ missing }) => missing === null))
    isWhole.then(
      (whole) => whole || this.#items.delete(at),
      () => this.#items.delete(at),
    )
    return item
  }

  /** Return a volume of an item. Items of one scan share it. */
  volume(
    at: number,
    { role, key, name }: Layer,
    onProgress?: (fraction: number) => void,
  ): Promise<LoadedVolume> {
    const known = this.#volumes.get(key!)
    if (known !== undefined) {
      this.#volumes.delete(key!)
      this.#volumes.set(key!, known)
      return known
    }
    const volume = this.#load(`${this.#path(at)}/volumes/${role}`, name, onProgress)
    this.#volumes.set(key!, volume)
    volume.then(
      ({ voxels }) => this.#forget(key!, voxels.byteLength),
      () => this.#volumes.delete(key!),
    )
    return volume
  }

  /** Read an item and its volumes before they are needed. */
  async prefetch(at: number): Promise<void> {
    try {
      const { layers } = await this.item(at)
      for (const layer of layers) if (layer.key !== null) await this.volume(at, layer)
    } catch {
      // the page reports it when the item is shown
    }
  }

  async #load(path: string, name: string, onProgress?: (fraction: number) => void): Promise<LoadedVolume> {
    const answer = await request(`${path}?revision=${encodeURIComponent(this.revision)}`)
    return await decodeVolume(answer.body!, name, onProgress)
  }

  #forget(newest: string, bytes: number): void {
    this.#bytes.set(newest, bytes)
    let kept = [...this.#volumes.keys()].reduce((sum, key) => sum + (this.#bytes.get(key) ?? 0), 0)
    for (const key of [...this.#volumes.keys()]) {
      if (kept <= KEPT_BYTES || key === newest) break
      kept -= this.#bytes.get(key) ?? 0
      this.#volumes.delete(key)
    }
  }

  #path(at: number): string {
    return `/api/collections/${this.id}/items/${at}`
  }
}

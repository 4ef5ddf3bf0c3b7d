import { percent } from '../../../report/wording.js'
import type { Vec3 } from '../../../volume/volume.js'
import type { ItemDetail, LayerRole, Place } from '../../review/messages.js'
import type { ItemData } from './data.js'
import { tumorTest } from './paint.js'
import { placeOfMask } from './place-of-mask.js'
import { extentOf } from './slices.js'
import type { Viewer } from './viewer.js'
import type { LoadedVolume } from './volume.js'

/** Volumes that were read ahead arrive within this time, and appear together. */
const TOGETHER_MS = 30

type Volumes = ReadonlyMap<LayerRole, LoadedVolume>

/**
 * Show the volumes of an item as they arrive.
 * @param isPresent returns false when another item is shown
 */
export async function showVolumes(
  detail: ItemDetail,
  data: ItemData,
  viewer: Viewer,
  isPresent: () => boolean,
): Promise<void> {
  const { at, labels, tumorId } = detail
  const missing = new Map(
    detail.layers.flatMap(({ role, missing }) => (missing ? [[role, missing] as const] : [])),
  )
  const layers = detail.layers.filter(({ key }) => key !== null)
  const arrived = new Map<LayerRole, LoadedVolume>()
  const show = (): void => {
    // the order of the layers decides which grid the views have
    const volumes = new Map(
      layers.flatMap(({ role }) => (arrived.has(role) ? [[role, arrived.get(role)!] as const] : [])),
    )
    const place = detail.place ?? placeOf(volumes, detail)
    viewer.show({ at, volumes, missing, labels, tumorId, place, shiftMm: shiftOf(volumes, detail) })
  }
  let together = true
  const loads = layers.map(async (layer) => {
    const { role, name } = layer
    try {
      const volume = await data.volume(at, layer, (fraction) => {
        if (isPresent()) viewer.note(role, `Loading ${percent(fraction)}`)
      })
      arrived.set(role, volume)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      missing.set(role, { message, hint: `The file is ${name}.` })
    }
    if (!together && isPresent()) show()
  })
  const all = Promise.all(loads)
  await Promise.race([all, new Promise((resolve) => setTimeout(resolve, TOGETHER_MS))])
  together = false
  if (!isPresent()) return
  show()
  await all
}

/** Return the middle of the tumor voxels: ledgers of earlier versions state no place. */
function placeOf(volumes: Volumes, { labels, tumorId }: ItemDetail): Place | null {
  const [tumors, label] = [volumes.get('tumors'), volumes.get('label')]
  if (tumors !== undefined && tumorId !== null) return placeOfMask(tumors, (id) => id === tumorId)
  return label === undefined ? null : placeOfMask(label, tumorTest(labels))
}

/** Return how far the second scan of an audit lies from the first one: by its low corner, else by the middles. */
function shiftOf(volumes: Volumes, { offsetMm }: ItemDetail): Vec3 | null {
  const [first, second] = [volumes.get('first'), volumes.get('second')]
  if (first === undefined || second === undefined) return null
  const [[low1, high1], [low2, high2]] = [extentOf(first), extentOf(second)]
  const along = (axis: number): number =>
    offsetMm != null
      ? low2[axis]! - low1[axis]! - offsetMm[axis]!
      : (low2[axis]! + high2[axis]! - low1[axis]! - high1[axis]!) / 2
  return [along(0), along(1), along(2)]
}

import { setImmediate } from 'node:timers/promises'
import type {
  PaintAnswer,
  PaintCall,
  SegmentAnswer,
  SegmentCall,
  ServeSession,
  ServeSpec,
} from '../pipeline/ports/serving.js'
import { callCancelled, runtimeClosed } from './job-errors.js'

/** HU that the twin adds where it paints. */
export const PAINTED_HU = -100

/**
 * Return the twin of a warm runtime: voxels above 0 HU get label 1; a tumor is 100 HU darker than its organ and detected
 * if it has 500 voxels. Calls are answered one after another.
 */
export function serveInMemory(spec: ServeSpec): ServeSession {
  let last: Promise<unknown> = Promise.resolve()
  let closed = false
  const inTurn = async <T>(answer: () => T, signal: AbortSignal | undefined): Promise<T> => {
    const before = last
    const mine = (async () => {
      await before.catch(() => {})
      await setImmediate()
      if (closed) throw runtimeClosed()
      if (signal?.aborted) throw callCancelled()
      return answer()
    })()
    last = mine
    return mine
  }
  return {
    ready: Promise.resolve({ device: 'memory', versions: {} }),
    segment: (call, signal) => inTurn(() => segment(call), signal),
    paint: (call, signal) => inTurn(() => paint(spec, call), signal),
    [Symbol.asyncDispose]: async () => {
      closed = true
    },
  }
}

function segment({ image, logits }: SegmentCall): SegmentAnswer {
  const labels = Uint8Array.from(image, (hu) => Number(hu > 0))
  const both = Float32Array.from({ length: 2 * labels.length }, (_, at) =>
    at < labels.length ? 0 : labels[at - labels.length]! - 0.5,
  )
  return { labels, logits: logits ? both : null, networkSeconds: 0 }
}

function paint(spec: ServeSpec, { image, label, shape, tumor, windowed }: PaintCall): PaintAnswer {
  const organ = spec.organs.find(({ name }) => name === tumor.organ)!
  const painted = { image: image.slice(), label: label.slice(), change: new Uint8Array(label.length) }
  const [, ny, nz] = tumor.boxShape
  tumor.box.forEach((voxel, at) => {
    const [x, y, z] = [Math.floor(at / (ny * nz)), Math.floor(at / nz) % ny, at % nz]
    const [ox, oy, oz] = tumor.boxOrigin
    const place = ((x + ox) * shape[1] + y + oy) * shape[2] + z + oz
    if (voxel === 0 || label[place] !== organ.label) return
    painted.image[place]! += PAINTED_HU
    painted.label[place] = organ.tumorLabel
    painted.change[place] = 1
  })
  const syntheticVoxels = painted.change.reduce((sum, one) => sum + one, 0)
  const [low, high] = spec.windowHu
  return {
    ...painted,
    image: windowed
      ? Float32Array.from(painted.image, (hu) => Math.min(1, Math.max(0, (hu - low) / (high - low))))
      : painted.image,
    measures: {
      tumor: 0,
      syntheticVoxels,
      seenVoxels: syntheticVoxels >= 500 ? syntheticVoxels : 0,
      alreadySeenVoxels: 0,
      contrast: PAINTED_HU / (high - low),
      more: {},
    },
    networkSeconds: 0,
  }
}

import type { NewAnswer, ReaderSession, RecordedAnswer, StartedCase } from '../../readers/messages.js'
import type { LoadedVolume } from '../review/volume.js'
import { json, post, request } from '../server.js'

export const readSession = (): Promise<ReaderSession> => json('/api/session')
export const startCase = (position: number): Promise<StartedCase> => post(`/api/cases/${position}/start`, {})
export const sendAnswer = (answer: NewAnswer): Promise<RecordedAnswer> => post('/api/answers', answer)

/** Reads volumes; those that were read ahead appear at once. */
export class Volumes {
  readonly #read = new Map<string, Promise<LoadedVolume>>()

  constructor(private readonly session: ReaderSession) {}

  ofCase(position: number): Promise<LoadedVolume> {
    return this.#volume(`/api/cases/${position}/volume`)
  }

  ofExample(number: number): Promise<LoadedVolume> {
    return this.#volume(`/api/examples/${number}/volume`)
  }

  #volume(path: string): Promise<LoadedVolume> {
    const known = this.#read.get(path)
    if (known !== undefined) return known
    const volume = this.#load(path)
    // this one and the one before it
    for (const old of [...this.#read.keys()].slice(0, -1)) this.#read.delete(old)
    this.#read.set(path, volume)
    volume.catch(() => this.#read.delete(path))
    return volume
  }

  async #load(path: string): Promise<LoadedVolume> {
    const { shape, spacingMm } = this.session
    const voxels = new Int16Array(await (await request(path)).arrayBuffer())
    if (voxels.length !== shape[0] * shape[1] * shape[2]) throw new Error(`${path}: truncated`)
    // the middle of the crop is 0 0 0
    const origin = (axis: 0 | 1 | 2): number => -((shape[axis] - 1) / 2) * spacingMm
    const s = spacingMm
    const [x, y, z] = [origin(0), origin(1), origin(2)]
    return {
      voxels,
      shape,
      affine: [s, 0, 0, x, 0, s, 0, y, 0, 0, s, z, 0, 0, 0, 1],
      toVoxel: [1 / s, 0, 0, -x / s, 0, 1 / s, 0, -y / s, 0, 0, 1 / s, -z / s, 0, 0, 0, 1],
      spacingMm: [s, s, s],
      slope: 1,
      inter: 0,
    }
  }
}

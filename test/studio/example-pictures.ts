import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { linesOf } from './runs.js'

const SIDE = 48

/** Return a picture file of a painted or real tumor in the middle of a crop: the tumor is brighter than its host. */
export function examplePicture(changes: object = {}): object {
  const pixels = (value: (inside: boolean) => number): string =>
    Buffer.from(
      Array.from({ length: SIDE * SIDE }, (_, at) =>
        value(Math.hypot((at % SIDE) - SIDE / 2, Math.floor(at / SIDE) - SIDE / 2) < 8),
      ),
    ).toString('base64')
  return {
    kind: 'tumor',
    step: 4,
    item: 8,
    crop: 0,
    organ: 'liver',
    size: 'small',
    verdict: 'accepted',
    shareSeen: 0.9,
    diameterMm: 12,
    windowHu: [-175, 250],
    planes: [
      {
        name: 'axial',
        width: SIDE,
        height: SIDE,
        pixelMm: [1.5, 1.5],
        host: pixels(() => 90),
        synthetic: pixels((inside) => (inside ? 140 : 90)),
        mask: pixels(Number),
      },
    ],
    ...changes,
  }
}

export const REJECTED = { step: 6, item: 12, verdict: 'rejected', shareSeen: 0.2 }

/** Write pictures of an accepted, a rejected and a real tumor of the liver, and their ledger. */
export function writeExamples(run: string): void {
  writePicture(run, 'tumor_00000004_8_0_liver_small_accepted', examplePicture())
  writePicture(run, 'tumor_00000006_12_0_liver_small_rejected', examplePicture(REJECTED))
  writePicture(run, 'real_00000002_4_0_liver_10mm', examplePicture({ kind: 'real', step: 2, diameterMm: 13 }))
  const line = { case: 'a', organ: 'liver', size: 'small', draw: 0, crop: 0 }
  const measures = (shareSeen: number): object => ({ syntheticVoxels: 100, alreadySeenVoxels: 0, shareSeen })
  const ledger = [
    { step: 4, item: 8, ...line, verdict: 'accepted', reason: 'seen', measures: measures(0.9) },
    { step: 6, item: 12, ...line, verdict: 'rejected', reason: 'notSeen', measures: measures(0.2) },
  ]
  writeFileSync(join(run, 'ledger.jsonl'), linesOf(ledger))
}

export function writePicture(run: string, name: string, picture: unknown): void {
  mkdirSync(join(run, 'pictures'), { recursive: true })
  writeFileSync(join(run, 'pictures', `${name}.json`), JSON.stringify(picture))
}

import { describe, expect, it } from 'vitest'
import {
  StepCrops,
  StepMeasures,
  StepRequest,
  StepVerdicts,
} from '../../src/generated/freetumor/runtime/v1/feed.js'
import type { CropMeasures, StepFeed } from '../../src/pipeline/ports/training.js'
import { answerRank } from '../../src/runtime/feed-service.js'
import type { PlannedCrop } from '../../src/sampling/sampling-plan.js'
import type { Message } from '../../src/transport/frames.js'

const PATCH = [2, 2, 2] as const
const crop: PlannedCrop = {
  item: 7,
  crop: 1,
  caseId: 'Mine/a',
  image: Int16Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  label: Uint8Array.of(1, 1, 1, 1, 0, 0, 0, 0),
  augmentation: { flip: [true, false, false], quarterTurns: 3, intensityScale: 1.05, intensityShift: -0.02 },
  tumors: [
    {
      organ: 'liver',
      size: 'tiny',
      box: Uint8Array.of(1, 0, 1),
      boxShape: [1, 1, 3],
      boxOrigin: [-1, 0, 0],
      edgeSigma: 1.25,
      textureIndex: 4,
      textureStart: [3, 2, 1],
      handcraftedDifference: 0.5,
      draw: 1,
    },
  ],
  mixing: { partner: 0, axis: 1, length: 1 },
  noRoom: null,
}

function feedOf(seen: CropMeasures[] = []): StepFeed {
  return {
    crops: async (step, rank) => (step === 5 && rank === 1 ? [crop] : []),
    judge: async (_step, _rank, measures) => {
      seen.push(...measures)
      return measures.map(({ item, crop: at }) => ({
        item,
        crop: at,
        accepted: true,
        reason: 'seen',
        nextDraw: null,
      }))
    },
  }
}

const message = (name: string, body: Uint8Array): Message => ({
  kind: `freetumor.runtime.v1.${name}`,
  body,
  tensors: new Map(),
})

describe('a rank', () => {
  it('that requests a step gets its crops, every array as a tensor under the name in the crop', async () => {
    const answer = await answerRank(
      feedOf(),
      PATCH,
      1,
      message('StepRequest', StepRequest.encode({ step: 5n }).finish()),
    )
    const { step, crops } = StepCrops.decode(answer!.body)
    expect(step).toBe(5n)
    const [sent] = crops
    expect(sent).toMatchObject({
      item: 7n,
      crop: 1,
      caseId: 'Mine/a',
      mixing: { partner: 0, axis: 1, length: 1 },
    })
    expect(sent!.augmentation).toMatchObject({
      flip: [true, false, false],
      quarterTurns: 3,
      intensityScale: 1.05,
    })
    expect(sent!.tumors[0]).toMatchObject({
      organ: 'liver',
      boxOrigin: [-1, 0, 0],
      textureStart: [3, 2, 1],
      draw: 1,
    })
    const tensor = (name: string) => answer!.tensors.get(name)
    expect(tensor(sent!.imageTensor)).toEqual({ elementType: 'int16', shape: [2, 2, 2], data: crop.image })
    expect(tensor(sent!.labelTensor)).toEqual({ elementType: 'uint8', shape: [2, 2, 2], data: crop.label })
    expect(tensor(sent!.tumors[0]!.boxTensor)).toMatchObject({
      shape: [1, 1, 3],
      data: crop.tumors[0]!.box,
    })
  })

  it('that sends measures gets verdicts when it waits for them, and nothing when it does not', async () => {
    const measures = {
      item: 7n,
      crop: 1,
      draw: 0,
      syntheticVoxels: 100n,
      seenVoxels: 80n,
      alreadySeenVoxels: 3n,
      contrast: -0.1,
      more: { volumeMl: 0.5 },
    }
    const seen: CropMeasures[] = []
    const sent = (wantsVerdicts: boolean): Message =>
      message('StepMeasures', StepMeasures.encode({ step: 5n, wantsVerdicts, crops: [measures] }).finish())
    const answer = await answerRank(feedOf(seen), PATCH, 1, sent(true))
    expect(StepVerdicts.decode(answer!.body)).toMatchObject({
      step: 5n,
      verdicts: [{ item: 7n, crop: 1, accepted: true, reason: 'seen' }],
    })
    expect(seen).toEqual([
      { ...measures, item: 7, syntheticVoxels: 100, seenVoxels: 80, alreadySeenVoxels: 3 },
    ])
    expect(await answerRank(feedOf(), PATCH, 1, sent(false))).toBeUndefined()
    expect(await answerRank(feedOf(), PATCH, 1, message('StepAck', new Uint8Array()))).toBeUndefined()
  })

  it('that sends a message of another job is refused', async () => {
    await expect(answerRank(feedOf(), PATCH, 2, message('VariantRequest', new Uint8Array()))).rejects.toThrow(
      'rank 2: sent an unsupported message (freetumor.runtime.v1.VariantRequest)',
    )
  })
})

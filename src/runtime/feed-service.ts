import {
  type Crop,
  StepCrops,
  StepMeasures,
  StepRequest,
  StepVerdicts,
  type PlannedTumor as TumorMessage,
} from '../generated/freetumor/runtime/v1/feed.js'
import type { CropMeasures, StepFeed } from '../pipeline/ports/training.js'
import type { PlannedCrop, PlannedTumor } from '../sampling/sampling-plan.js'
import type { Message, Tensor } from '../transport/frames.js'
import type { Vec3 } from '../volume/volume.js'
import { unsupportedMessage } from './job-errors.js'

const PACKAGE = 'freetumor.runtime.v1.'

/**
 * Return the answer to a message of a rank; undefined if it needs none (an acknowledgement).
 * @throws RuntimeCrashError on an unsupported message
 */
export async function answerRank(
  feed: StepFeed,
  patchVoxels: Vec3,
  rank: number,
  message: Message,
): Promise<Message | undefined> {
  switch (message.kind) {
    case `${PACKAGE}StepRequest`: {
      const step = Number(StepRequest.decode(message.body).step)
      return toStepMessage(step, patchVoxels, await feed.crops(step, rank))
    }
    case `${PACKAGE}StepMeasures`: {
      const { step, crops, wantsVerdicts } = StepMeasures.decode(message.body)
      const verdicts = await feed.judge(Number(step), rank, crops.map(toMeasures))
      if (!wantsVerdicts) return undefined
      const body = StepVerdicts.encode({
        step,
        verdicts: verdicts.map(({ nextDraw, ...verdict }) => ({
          ...verdict,
          item: BigInt(verdict.item),
          nextDraw: nextDraw ?? undefined,
        })),
      }).finish()
      return { kind: `${PACKAGE}StepVerdicts`, body, tensors: new Map() }
    }
    case `${PACKAGE}StepAck`:
      return undefined
    default:
      throw unsupportedMessage(rank, message.kind)
  }
}

/** Return the crops of a step with their tensors, which are named by their position. */
export function toStepMessage(step: number, patchVoxels: Vec3, crops: readonly PlannedCrop[]): Message {
  const tensors = new Map<string, Tensor>()
  const message = StepCrops.encode({
    step: BigInt(step),
    crops: crops.map((crop, at) => toCrop(crop, at, [...patchVoxels], tensors)),
  })
  return { kind: `${PACKAGE}StepCrops`, body: message.finish(), tensors }
}

function toCrop(crop: PlannedCrop, at: number, shape: number[], tensors: Map<string, Tensor>): Crop {
  tensors.set(`image${at}`, { elementType: 'int16', shape, data: crop.image })
  tensors.set(`label${at}`, { elementType: 'uint8', shape, data: crop.label })
  return {
    item: BigInt(crop.item),
    crop: crop.crop,
    caseId: crop.caseId,
    imageTensor: `image${at}`,
    labelTensor: `label${at}`,
    augmentation: { ...crop.augmentation, flip: [...crop.augmentation.flip] },
    tumors: crop.tumors.map((tumor, place) => tumorMessage(tumor, `shape${at}.${place}`, tensors)),
    mixing: crop.mixing ?? undefined,
    noRoom: crop.noRoom !== null,
  }
}

/** Return a tumor; its shape is one of the tensors, under its own name. */
export function tumorMessage(
  tumor: PlannedTumor,
  boxTensor: string,
  tensors: Map<string, Tensor>,
): TumorMessage {
  tensors.set(boxTensor, { elementType: 'uint8', shape: [...tumor.boxShape], data: tumor.box })
  return {
    organ: tumor.organ,
    size: tumor.size,
    boxTensor,
    boxOrigin: [...tumor.boxOrigin],
    edgeSigma: tumor.edgeSigma,
    textureIndex: tumor.textureIndex,
    textureStart: [...tumor.textureStart],
    handcraftedDifference: tumor.handcraftedDifference,
    draw: tumor.draw,
  }
}

function toMeasures(crop: StepMeasures['crops'][number]): CropMeasures {
  return {
    item: Number(crop.item),
    crop: crop.crop,
    draw: crop.draw,
    syntheticVoxels: Number(crop.syntheticVoxels),
    seenVoxels: Number(crop.seenVoxels),
    alreadySeenVoxels: Number(crop.alreadySeenVoxels),
    contrast: crop.contrast,
    more: crop.more,
  }
}
